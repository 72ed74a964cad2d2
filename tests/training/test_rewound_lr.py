"""Events that take all weights back: to the bit, under the mask that the trained ones chose."""

import pytest
import torch
from lightning import Callback

from lightprune.pruning.pruner import Pruner
from lightprune.training.checkpoints import Snapshots
from lightprune.training.fit import PhaseRun, fit
from lightprune.training.recorded_pruning import weight_reset
from tests.training.small import BreakOffAt, BrokenOffError, copied, equal, phase, plan, small_setup

COURSE = plan((0, 0.5), (2, 0.8), epochs=3)


class Watch(Callback):
    """The network, and how many entries the optimizer holds, at the start of every epoch."""

    def __init__(self):
        self.states, self.entries = {}, {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if batch_idx == 0:
            self.states[trainer.current_epoch] = copied(pl_module.network.state_dict())
            self.entries[trainer.current_epoch] = len(trainer.optimizers[0].state)


def dense(folder, *watchers, **settings):
    setup = small_setup(*watchers)
    return fit(setup, setup.new_network(), PhaseRun("dense", phase(4), plan(), **settings), folder)


def tuned(folder, weights, early, *watchers):
    setup = small_setup(*watchers)
    return fit(
        setup,
        setup.new_network(),
        PhaseRun(
            "finetune",
            phase(3),
            COURSE,
            pruner=Pruner(weights=weights),
            dense=phase(4),
            rewind_weights=early,
        ),
        folder,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A dense training that kept its first and its third epoch, and how each epoch began."""
    watch = Watch()
    return dense(tmp_path_factory.mktemp("dense"), watch, snapshots=[1, 3]), watch


def test_snapshots_are_the_network_after_so_many_epochs(trained):
    ended, watch = trained

    assert list(ended.snapshots) == [1, 3]
    for after, state in ended.snapshots.items():
        assert equal(state, watch.states[after])


def test_keeping_snapshots_changes_no_training(tmp_path, trained):
    assert equal(dense(tmp_path).state, trained[0].state)


def test_a_resumed_training_still_has_its_snapshots_whoever_resumes_it(tmp_path, trained):
    with pytest.raises(BrokenOffError):
        dense(tmp_path, BreakOffAt(2), snapshots=[1])
    ended = dense(tmp_path, snapshots=[3])

    assert list(ended.snapshots) == [1, 3]
    assert all(equal(ended.snapshots[k], trained[0].snapshots[k]) for k in (1, 3))


def test_the_first_epochs_alone_end_where_the_whole_training_passes(tmp_path, trained):
    assert equal(dense(tmp_path, until=3).state, trained[0].snapshots[3])


def test_every_event_takes_weights_and_buffers_back_to_the_bit(tmp_path, trained):
    early, watch = trained[0].snapshots[1], Watch()
    rewound = tuned(tmp_path / "rewind", "rewind", early, watch)
    kept = tuned(tmp_path / "keep", "keep", None)

    assert rewound.records[0].digest == kept.records[0].digest
    for epoch, record in ((0, rewound.records[0]), (2, rewound.records[1])):
        start, zeros = watch.states[epoch], 0
        for name, value in start.items():
            if value.dim() == 4:
                pruned = value == 0
                zeros += int(pruned.sum())
                assert torch.equal(value[~pruned], early[name][~pruned])
            else:
                assert torch.equal(value, early[name])
        assert zeros == record.pruned
    assert watch.entries[2] == 0
    assert watch.entries[1] > 0


def test_a_rewinding_fit_resumes_bit_for_bit(tmp_path, trained):
    early = trained[0].snapshots[3]
    whole = tuned(tmp_path / "whole", "rewind", early)
    with pytest.raises(BrokenOffError):
        tuned(tmp_path / "resumed", "rewind", early, BreakOffAt(2))
    resumed = tuned(tmp_path / "resumed", "rewind", early)

    assert equal(whole.state, resumed.state)
    assert whole.records == resumed.records


def test_rewinding_needs_early_weights():
    with pytest.raises(ValueError, match="there are no early weights"):
        weight_reset("rewind", dict, None)


def test_snapshots_of_nothing_take_no_room():
    assert Snapshots().state_dict() == {}
