from dataclasses import dataclass

import pytest
import torch
from torch import nn

from lightprune.errors import InputError
from lightprune.pruning.criteria import Criterion, Magnitude, Random
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets
from lightprune.training.checkpoints import SealedCheckpointIO
from tests.callbacks.fits import OPTIMIZERS, STEPS, Fits, Violations, with_dropout, without_seconds
from tests.training.small import (
    OnEpoch,
    cnn,
    equal,
    phase,
    plan,
    session,
)


@pytest.mark.parametrize("optimizer", ["nesterov", "adamw"])
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_resumed_fit_ends_bit_for_bit_like_an_uninterrupted_one(tmp_path, optimizer, epoch):
    fits = Fits(tmp_path, {"optimizer": OPTIMIZERS[optimizer], "peak": "auto"})
    whole = fits.run("whole")
    fits.broken_off("resumed", epoch)

    resumed = fits.run("resumed")

    assert equal(resumed.state, whole.state)
    assert resumed.records == whole.records
    assert without_seconds(resumed.rows) == without_seconds(whole.rows)
    assert (resumed.epoch, resumed.validation) == (whole.epoch, whole.validation)


def test_a_network_with_dropout_resumes_bit_for_bit_too(tmp_path):
    fits = Fits(tmp_path, {})
    whole = fits.run("whole", network=with_dropout)
    fits.broken_off("resumed", 2, network=with_dropout)

    assert equal(fits.run("resumed", network=with_dropout).state, whole.state)


def test_zeros_stay_and_the_schedule_goes_on_after_a_resume(tmp_path):
    fits, zeros = Fits(tmp_path, {}), []
    fits.broken_off("run", 2)
    violations = Violations()

    def count(trainer, classifier):
        weights = Targets().find(classifier.network).values()
        zeros.append(sum(int((weight == 0).sum()) for weight in weights))

    trained = fits.run("run", OnEpoch(count), violations)

    total = trained.records[0].pruned * 2
    assert zeros == [round(0.9 * total)] * 2
    assert violations.seen == []
    assert [record.epoch for record in trained.records] == [0, 2]


def test_a_fit_broken_off_twice_ends_like_an_uninterrupted_one(tmp_path):
    fits = Fits(tmp_path, {})
    whole = fits.run("whole")
    fits.broken_off("resumed", 1)
    fits.broken_off("resumed", 3)

    assert equal(fits.run("resumed").state, whole.state)


def test_the_saved_state_loads_without_running_code(tmp_path):
    made = session(tmp_path, STEPS).fit()
    state = made.pruning.state_dict()
    torch.save(state, tmp_path / "state.pt")

    loaded = torch.load(tmp_path / "state.pt", weights_only=True)

    assert torch.equal(loaded["masks"], state["masks"])
    assert loaded["masks"].numpy().tobytes() == made.pruning.masks.pack()
    assert loaded["digest"] == made.pruning.masks.digest()
    assert loaded["records"] == [record.dump() for record in made.pruning.records]


def test_without_a_fit_there_is_no_state_and_none_is_needed(tmp_path):
    made = session(tmp_path, STEPS)
    made.pruning.load_state_dict(made.pruning.state_dict())

    assert made.fit().zeros == round(0.9 * made.total)


def test_a_damaged_mask_in_a_checkpoint_is_noticed(tmp_path):
    Fits(tmp_path, {}).broken_off("run", 2)
    last = tmp_path / "run" / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(last, weights_only=True)
    checkpoint["callbacks"]["PruningCallback"]["masks"][5] ^= 1
    SealedCheckpointIO().save_checkpoint(checkpoint, last)

    with pytest.raises(PruningError, match="its masks do not match their digest"):
        Fits(tmp_path, {}).run("run")


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken-off")
    Fits(folder, {}).broken_off("run", 2)
    return Fits(folder, {})


def wide(num_classes=4):
    network = cnn(num_classes)
    network[4], network[5] = nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12)
    network[7] = nn.Conv2d(12, 8, 3, stride=2, padding=1)
    return network


@pytest.mark.parametrize(
    ("which", "other"),
    [
        ("plan", {"course": plan((0, 0.5), (2, 0.8))}),
        ("plan", {"course": plan((0, 0.5), (3, 0.9))}),
        ("plan", {"course": plan((0, 0.5), (2, 0.9), epochs=6)}),
        ("pruner", {"pruner": Pruner(scope="local")}),
        ("pruner", {"pruner": Pruner(criterion=Random())}),
        ("pruner", {"pruner": Pruner(criterion=Magnitude("l2"))}),
        ("network", {"network": wide}),
    ],
    ids=["sparsity", "epoch", "epochs", "scope", "criterion", "norm", "width"],
)
def test_a_checkpoint_of_another_experiment_is_refused_by_what_differs(broken_off, which, other):
    with pytest.raises(InputError, match=f"checkpoint: its {which} is .*, this run's is "):
        broken_off.run("run", **other)


def test_a_checkpoint_of_other_prunable_weights_is_refused(tmp_path):
    made = session(tmp_path, STEPS).fit()
    made.trainer.save_checkpoint(tmp_path / "one.ckpt")
    other = session(tmp_path, STEPS, targets=Targets(exclude=("0",)))

    with pytest.raises(InputError, match="checkpoint: its network is "):
        other.fit(tmp_path / "one.ckpt")


class Custom(Criterion):
    """A criterion as a user may write it."""

    def scores(self, weights, context):
        return {name: weight.detach().abs().float() for name, weight in weights.items()}


@dataclass(frozen=True, slots=True)
class CustomWithSlots(Criterion):
    """The same without a dictionary of attributes."""

    power: int = 2

    def scores(self, weights, context):
        return {name: weight.abs().float() ** self.power for name, weight in weights.items()}


@pytest.mark.parametrize("criterion", [Custom, CustomWithSlots])
def test_a_run_with_a_custom_criterion_resumes(tmp_path, criterion):
    Fits(tmp_path, {}).broken_off("run", 2, pruner=Pruner(criterion()))

    trained = Fits(tmp_path, {}).run("run", pruner=Pruner(criterion()))

    assert len(trained.records) == 2


def test_a_second_fit_goes_on_with_the_masks_of_the_first(tmp_path):
    made = session(tmp_path, plan((0, 0.9), epochs=2), how=phase(2, shape="constant")).fit()
    made.trainer.fit_loop.max_epochs = 3
    made.fit()

    assert made.trainer.current_epoch == 3
    assert made.zeros == round(0.9 * made.total)
