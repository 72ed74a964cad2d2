import copy
import csv
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import EMAWeightAveraging, StochasticWeightAveraging
from lightning.pytorch.loggers import CSVLogger
from torch import nn

from lightprune.errors import InputError
from lightprune.pruning.criteria import Random
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets
from tests.callbacks.fits import STEPS, Fits
from tests.pruning.probe import live_masks_of
from tests.training.small import (
    OnEpoch,
    OnStep,
    Residual,
    cnn,
    copied,
    equal,
    phase,
    plan,
    session,
    small_setup,
)


def test_channels_last_weights_are_pruned_like_any_others(tmp_path):
    runs = [
        session(tmp_path, STEPS, channels_last=c, pruner=Pruner(Random())) for c in (True, False)
    ]

    last, plain = (run.fit() for run in runs)

    assert last.network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert last.pruning.masks.digest() == plain.pruning.masks.digest()
    assert last.zeros == round(0.9 * last.total)


@dataclass(frozen=True)
class Checkpointed:
    """A finished fit, its weights and its last checkpoint."""

    setup: object
    trained: object
    checkpoint: dict


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    trained = Fits(folder, {}).run("run", course=plan((0, 0.3), (2, 0.9), epochs=5))
    last = folder / "run" / "checkpoints" / "last.ckpt"
    return Checkpointed(small_setup(), trained, torch.load(last, weights_only=True))


def test_the_best_epochs_accuracy_belongs_to_its_weights(tmp_path, finished):
    made = session(tmp_path, plan(epochs=1))
    made.network.load_state_dict(finished.trained.state)
    made.trainer.validate(made.classifier, datamodule=made.data, verbose=False)

    best = finished.checkpoint["callbacks"]["BestEpoch"]

    assert best["accuracy"] == made.classifier.evaluation.accuracy
    assert equal(best["weights"], finished.trained.state)
    assert finished.trained.validation == made.classifier.evaluation.accuracy


def test_the_best_epochs_weights_are_at_the_final_sparsity(finished):
    weights = [w for w in finished.trained.state.values() if w.dim() == 4]

    zeros = sum(int((weight == 0).sum()) for weight in weights)

    assert zeros == round(0.9 * sum(weight.numel() for weight in weights))


@pytest.mark.parametrize("scope", ["global", "local"])
def test_sparsity_is_a_share_of_all_weights_not_of_the_kept_ones(tmp_path, scope):
    shares = (0.5, 0.5, 0.6, 0.9)

    made = session(tmp_path, plan(*enumerate(shares)), pruner=Pruner(scope=scope)).fit()

    pruned = [record.pruned for record in made.pruning.records]
    assert pruned == [round(share * made.total) for share in shares]
    assert made.zeros == pruned[-1]


def test_a_layer_of_its_own_sparsity_rises_to_it_with_the_others(tmp_path):
    shares = []

    def note(trainer, classifier):
        weight = classifier.network[7].weight
        shares.append(float((weight == 0).float().mean()))

    pruner = Pruner(sparsities=(("7", 0.5),))
    session(tmp_path, plan((0, 0.4), (1, 0.8), epochs=2), OnEpoch(note), pruner=pruner).fit()

    assert shares == [0.25, 0.5]


@pytest.mark.parametrize("function", ["validate", "test"])
def test_validating_and_testing_change_nothing(tmp_path, function):
    made = session(tmp_path, STEPS)
    before = copied(made.network.state_dict())

    getattr(made.trainer, function)(made.classifier, datamodule=made.data, verbose=False)

    assert equal(made.network.state_dict(), before)
    assert made.pruning.records == []


def test_validating_and_testing_other_weights_change_neither_them_nor_the_records(tmp_path):
    made = session(tmp_path, STEPS).fit()
    records = list(made.pruning.records)
    with torch.no_grad():
        made.network[10].weight.neg_()
    before = copied(made.network.state_dict())
    made.trainer.validate(made.classifier, datamodule=made.data, verbose=False)
    made.trainer.test(made.classifier, datamodule=made.data, verbose=False)

    assert equal(made.network.state_dict(), before)
    assert records[-1].recovered != made.classifier.evaluation.accuracy
    assert made.pruning.records == records


def test_several_validations_an_epoch_prune_once(tmp_path):
    validations = []

    class Counter(Callback):
        def on_validation_end(self, trainer, pl_module):
            validations.append(trainer.current_epoch)

    made = session(tmp_path, STEPS, Counter(), val_check_interval=1 / 3).fit()

    assert len(validations) == 12
    assert [record.epoch for record in made.pruning.records] == [0, 2]
    assert made.zeros == round(0.9 * made.total)


class Buffered(nn.Module):
    """Has a buffer whose name ends like those of torch's own pruning."""

    def __init__(self, num_classes=4):
        super().__init__()
        self.inside = cnn(num_classes)
        self.register_buffer("foo_mask", torch.ones(3))

    def forward(self, x):
        return self.inside(x)


def test_a_buffer_named_like_a_mask_is_saved_as_it_is(tmp_path):
    trained = Fits(tmp_path, {}).run("run", network=Buffered)

    assert torch.equal(trained.state["foo_mask"], torch.ones(3))


@pytest.mark.parametrize(
    "averaging",
    [
        partial(StochasticWeightAveraging, swa_lrs=0.01, swa_epoch_start=3),
        partial(EMAWeightAveraging, decay=0.9, update_starting_at_step=7),
    ],
    ids=["swa", "ema"],
)
def test_weight_averaging_works_and_keeps_pruned_weights_at_zero(tmp_path, averaging):
    made = session(tmp_path, plan((0, 0.5), (2, 0.9), epochs=5), averaging()).fit()

    assert made.pruning.masks.violations(made.weights) == {}
    assert made.zeros == round(0.9 * made.total)


def test_a_copy_of_a_pruned_module_has_the_same_zeros(tmp_path):
    made = session(tmp_path, STEPS).fit()

    twin = copy.deepcopy(made.classifier)

    assert equal(twin.state_dict(), made.classifier.state_dict())
    with torch.no_grad():
        twin.network[0].weight.fill_(1)
    assert made.zeros == round(0.9 * made.total)


def test_pruning_leaves_the_parameters_names_and_buffers_as_they_are(tmp_path):
    made = session(tmp_path, STEPS).fit()

    plain = cnn()
    plain.load_state_dict(made.network.state_dict())

    assert list(made.network.state_dict()) == list(plain.state_dict())
    assert not any(module._forward_pre_hooks for module in made.network.modules())


def test_many_events_hold_no_more_than_one(tmp_path):
    states = []
    for events in (1, 25):
        course = plan(*((e, 0.5 + e / 100) for e in range(events)), epochs=25)
        made = session(tmp_path, course, how=phase(25), limit_train_batches=1, limit_val_batches=0)
        made.data.trainer = made.trainer
        states.append((made.fit().pruning.state_dict(), vars(made.pruning)))

    sizes = [sum(v.numel() for v in state.values() if torch.is_tensor(v)) for state, _ in states]
    assert sizes == [sum((n + 7) // 8 for n in (216, 576, 576))] * 2
    assert [len(state["records"]) for state, _ in states] == [1, 25]
    assert set(states[0][0]) == set(states[1][0])
    assert not any(
        torch.is_tensor(v) for record in states[1][0]["records"] for v in record.values()
    )
    assert all(len(m) == 3 for _, held in states for m in (held["sparsifier"].masks, held["_live"]))


def test_biases_and_normalisation_are_never_pruned_by_default(tmp_path):
    after = {}

    class Watch(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            after.update(copied(dict(pl_module.network.named_parameters())))

    made = session(tmp_path, plan((0, 0.9), epochs=1), Watch())
    before = copied(dict(made.network.named_parameters()))
    made.fit()

    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == set(made.pruning.masks) == {"0.weight", "4.weight", "7.weight"}


def test_sparsity_and_the_accuracy_around_events_reach_the_logger(tmp_path):
    logger = CSVLogger(tmp_path, name="", version="")
    made = session(tmp_path, STEPS, loggers=[logger]).fit()

    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))

    logged = {
        name: [float(row[name]) for row in rows if row.get(name)]
        for name in ("sparsity/nominal", "prune/before", "prune/after")
    }
    records = made.pruning.records
    shares = [records[0].sparsity] * 2 + [records[1].sparsity] * 2
    assert logged["sparsity/nominal"] == pytest.approx(shares)
    assert logged["prune/before"] == pytest.approx([record.before for record in records])
    assert logged["prune/after"] == pytest.approx([record.after for record in records])


def test_an_event_at_the_end_of_the_budget_is_refused():
    with pytest.raises(InputError, match=r"an event at epoch 4 does not fit .*epochs=4"):
        plan((4, 0.5), epochs=4)


def test_an_event_in_the_last_epoch_has_that_epoch_to_recover(tmp_path):
    made = session(tmp_path, plan((1, 0.5), epochs=2)).fit()

    (record,) = made.pruning.records
    assert made.trainer.global_step == 6
    assert record.recovered == made.classifier.evaluation.accuracy


def test_an_event_happens_before_the_first_step_of_its_epoch(tmp_path):
    sparsity = []

    class Watch(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            weights = Targets().find(pl_module.network).values()
            zeros = sum(int((w == 0).sum()) for w in weights)
            sparsity.append(
                (trainer.global_step, round(zeros / sum(w.numel() for w in weights), 2))
            )

    session(tmp_path, plan((1, 0.5), epochs=2), Watch()).fit()

    assert [share for _, share in sparsity] == [0, 0, 0, 0.5, 0.5, 0.5]


def test_records_tell_the_accuracy_before_and_after_and_what_was_recovered(tmp_path):
    accuracies = {}

    class Watch(Callback):
        def on_validation_end(self, trainer, pl_module):
            accuracies[trainer.current_epoch] = pl_module.evaluation.accuracy

    made = session(tmp_path, plan((1, 0.5), (3, 0.9), epochs=5), Watch()).fit()

    first, second = made.pruning.records
    assert (first.before, first.recovered) == (accuracies[0], accuracies[2])
    assert (second.before, second.recovered) == (accuracies[2], accuracies[4])


def test_the_accuracy_right_after_an_event_is_that_of_the_pruned_network(tmp_path):
    course = plan((0, 0.7), epochs=1)
    made, twin = session(tmp_path, course), session(tmp_path, course)
    masks = Pruner().prune(twin.weights, Masks.dense(twin.weights), 0.7)
    masks.apply_(twin.weights)
    twin.trainer.validate(twin.classifier, datamodule=twin.data, verbose=False)

    (record,) = made.fit().pruning.records

    assert record.after == twin.classifier.evaluation.accuracy
    assert record.digest == masks.digest()


def test_records_tell_how_far_the_live_weights_were_moved(tmp_path):
    made = session(tmp_path, plan((0, 0.7), epochs=1))
    live = live_masks_of(made.network, made.weights, torch.zeros(1, 3, 8, 8))
    whole = torch.cat([weight[live[name]] for name, weight in made.weights.items()])
    masks = Pruner().prune(made.weights, Masks.dense(made.weights), 0.7)
    lost = torch.cat([weight[live[n] & ~masks[n]] for n, weight in made.weights.items()])

    (record,) = made.fit().pruning.records

    assert record.distance == pytest.approx(float(lost.norm() / whole.norm()), rel=1e-5)
    kept_live = sum(int((live[name] & masks[name]).sum()) for name in masks)
    assert record.live_sparsity == pytest.approx(1 - kept_live / live.kept)


def test_a_pruned_weight_that_was_changed_by_hand_ends_training(tmp_path):
    def meddle(trainer, classifier):
        weight = classifier.network[4].weight.data
        weight[weight == 0] = 0.5

    made = session(tmp_path, plan((0, 0.5), epochs=2), OnStep(meddle))

    with pytest.raises(PruningError, match=r"epoch 0: \d+ pruned weights of 4.weight are not zero"):
        made.fit()


@pytest.mark.parametrize("scope", ["global", "local"])
def test_a_network_that_no_longer_sees_its_input_ends_training(tmp_path, scope):
    made = session(tmp_path, plan((0, 0.9999), epochs=2), pruner=Pruner(scope=scope))

    with pytest.raises(PruningError) as caught:
        made.fit()

    assert "schedule: at sparsity 0.9999 (epoch 0)" in str(caught.value)
    assert "pruner.floor" in str(caught.value)


def test_an_emptied_branch_is_recorded_and_training_goes_on(tmp_path):
    made = session(tmp_path, plan((0, 0.8), epochs=2), network=Residual).fit()

    (record,) = made.pruning.records
    assert record.emptied == ("branch.weight",)
    assert not made.network.branch.weight.any()


def test_nothing_is_emptied_where_something_is_left(tmp_path):
    made = session(tmp_path, STEPS).fit()

    assert [record.emptied for record in made.pruning.records] == [(), ()]


def test_without_events_nothing_is_pruned(tmp_path):
    made = session(tmp_path, plan(epochs=2)).fit()

    assert made.zeros == 0
    assert made.pruning.records == []
    assert made.pruning.masks.sparsity == 0


def test_an_event_of_sparsity_0_changes_no_weight(tmp_path):
    runs = [
        session(tmp_path, course).fit() for course in (plan((0, 0.0), epochs=2), plan(epochs=2))
    ]

    assert equal(runs[0].network.state_dict(), runs[1].network.state_dict())
    assert runs[0].pruning.records[0].before == runs[0].pruning.records[0].after


def test_an_event_leaves_a_frozen_layer_frozen(tmp_path):
    modes = []

    def note(trainer, classifier):
        modes.append(classifier.network[1].training)

    made = session(tmp_path, plan((1, 0.5), epochs=2), OnEpoch(note))
    made.network[1].eval()
    made.fit()

    assert modes == [False, False]
