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

from lightprune.callbacks.pruning_callback import PruningCallback
from lightprune.errors import InputError
from lightprune.pruning.criteria import Criterion, Magnitude, Random
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets
from lightprune.training.checkpoints import SealedCheckpointIO
from lightprune.training.fit import PhaseRun, fit
from tests.callbacks import two_processes
from tests.pruning.probe import live_masks_of
from tests.training.small import (
    MOMENTUM,
    BreakOffAt,
    BrokenOffError,
    OnEpoch,
    OnStep,
    Residual,
    cnn,
    copied,
    equal,
    lab,
    phase,
    plan,
    session,
)

STEPS = plan((0, 0.5), (2, 0.9))


class Violations(Callback):
    """Collects the pruned weights that are not zero, after every batch."""

    def __init__(self):
        self.steps, self.seen = 0, []

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        (pruning,) = (c for c in trainer.callbacks if isinstance(c, PruningCallback))
        self.steps += 1
        if found := pruning.masks.violations(dict(pl_module.network.named_parameters())):
            self.seen.append((trainer.global_step, found))


def test_channels_last_weights_are_pruned_like_any_others(tmp_path):
    runs = [
        session(tmp_path, STEPS, channels_last=c, pruner=Pruner(Random())) for c in (True, False)
    ]

    last, plain = (run.fit() for run in runs)

    assert last.network[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert last.pruning.masks.digest() == plain.pruning.masks.digest()
    assert last.zeros == round(0.9 * last.total)


@dataclass(frozen=True)
class Fits:
    """Fits with the same settings in folders of their own."""

    folder: object
    settings: dict

    def run(self, name, *watchers, course=STEPS, network=cnn, pruner=None, **lab_settings):
        bench = lab(*watchers, network=network, **lab_settings)
        return fit(
            bench,
            bench.new_network(),
            PhaseRun(
                "finetune",
                phase(course.epochs, **self.settings),
                course,
                pruner=pruner or Pruner(),
                dense=phase(20, peak=0.1),
            ),
            self.folder / name,
        )

    def broken_off(self, name, epoch, **settings):
        """A fit that stops before an epoch."""
        with pytest.raises(BrokenOffError):
            self.run(name, BreakOffAt(epoch), **settings)


def told(rows):
    """Rows without their times."""
    return [{**vars(row), "seconds": 0} for row in rows]


OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.1),
    "momentum": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": MOMENTUM,
    "adam": partial(torch.optim.Adam, weight_decay=0.01),
    "adamw": partial(torch.optim.AdamW, weight_decay=0.1, amsgrad=True),
    "rmsprop": partial(torch.optim.RMSprop, momentum=0.9, centered=True, weight_decay=0.01),
}


@pytest.mark.parametrize("optimizer", ["nesterov", "adamw"])
@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_a_resumed_fit_ends_bit_for_bit_like_an_uninterrupted_one(tmp_path, optimizer, epoch):
    fits = Fits(tmp_path, {"optimizer": OPTIMIZERS[optimizer], "peak": "auto"})
    whole = fits.run("whole")
    fits.broken_off("resumed", epoch)

    resumed = fits.run("resumed")

    assert equal(resumed.state, whole.state)
    assert resumed.records == whole.records
    assert told(resumed.rows) == told(whole.rows)
    assert (resumed.epoch, resumed.validation) == (whole.epoch, whole.validation)


def with_dropout(num_classes=4):
    return cnn(num_classes).insert(10, nn.Dropout(0.5))


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


@dataclass(frozen=True)
class Checkpointed:
    """A finished fit, its weights and its last checkpoint."""

    bench: object
    trained: object
    checkpoint: dict


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    trained = Fits(folder, {}).run("run", course=plan((0, 0.3), (2, 0.9), epochs=5))
    last = folder / "run" / "checkpoints" / "last.ckpt"
    return Checkpointed(lab(), trained, torch.load(last, weights_only=True))


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
def test_sparsity_is_a_share_of_all_weights_not_of_those_that_are_left(tmp_path, scope):
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
    assert all(len(m) == 3 for _, held in states for m in (held["masks"], held["_live"]))


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    return two_processes.run(tmp_path_factory.mktemp("together"))


def test_rank_0_decides_the_masks_of_all_ranks(together):
    first, second = together

    assert first["mine"] != second["mine"]
    assert first["agreed"] == second["agreed"] == first["mine"]


def test_differing_masks_end_the_run(together):
    for seen in together:
        assert "ranks hold different masks" in seen["refusal"]


def test_two_processes_end_with_the_same_weights_and_records(together):
    first, second = together

    assert equal(first["state"], second["state"])
    assert first["records"] == second["records"]
    assert first["validation"] == second["validation"]
    weights = [w for w in first["state"].values() if w.dim() == 4]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    assert zeros == round(0.8 * sum(weight.numel() for weight in weights))


def test_the_accuracy_of_two_processes_belongs_to_the_weights_they_save(tmp_path, together):
    made = session(tmp_path, plan(epochs=1))
    made.network.load_state_dict(together[0]["state"])
    made.trainer.validate(made.classifier, datamodule=made.data, verbose=False)

    assert together[0]["validation"] == made.classifier.evaluation.accuracy


def test_two_processes_test_every_image_once(together):
    assert [seen["images"] for seen in together] == [40, 40]
    assert together[0]["correct"] == together[1]["correct"]


def test_predictions_of_two_processes_are_in_the_order_of_the_images(tmp_path, together):
    made = session(tmp_path, plan(epochs=1))
    made.network.load_state_dict(together[0]["state"])
    made.trainer.test(made.classifier, datamodule=made.data, verbose=False)

    for seen in together:
        assert seen["predicted"] == made.classifier.evaluation.predicted


@pytest.mark.parametrize("criterion", two_processes.ASKING)
def test_criteria_that_ask_the_network_hear_the_same_in_every_process(together, criterion):
    first, second = (seen[criterion] for seen in together)

    assert len(first["went by"]) == 6
    assert first["went by"] == second["went by"]
    assert first["records"] == second["records"]
    assert all(record["recalibrated"] is not None for record in first["records"])
    assert equal(first["state"], second["state"])


@pytest.mark.parametrize("method", [*two_processes.BY_WEIGHTS, *two_processes.BY_GRADIENT])
def test_every_method_leaves_the_same_network_in_every_process(together, method):
    first, second = (seen["methods"][method] for seen in together)

    assert first["records"] == second["records"]
    assert equal(first["state"], second["state"])


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return two_processes.methods(tmp_path_factory.mktemp("alone"), 1, two_processes.BY_WEIGHTS)


@pytest.mark.parametrize("method", two_processes.BY_WEIGHTS)
def test_two_processes_train_as_one_does_on_the_same_global_batch(alone, together, method):
    one, two = alone[method], together[0]["methods"][method]

    for mine, theirs in zip(one["records"], two["records"], strict=True):
        assert (mine["digest"], mine["pruned"]) == (theirs["digest"], theirs["pruned"])
    for name, weight in one["state"].items():
        torch.testing.assert_close(two["state"][name], weight, rtol=1e-3, atol=1e-5)
    assert two["validation"] == pytest.approx(one["validation"], abs=1 / 40)


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
        for name in ("sparsity", "prune/before", "prune/after")
    }
    records = made.pruning.records
    shares = [records[0].sparsity] * 2 + [records[1].sparsity] * 2
    assert logged["sparsity"] == pytest.approx(shares)
    assert logged["prune/before"] == pytest.approx([record.before for record in records])
    assert logged["prune/after"] == pytest.approx([record.after for record in records])


@pytest.mark.parametrize("policy", ["mask", "reset", "keep"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_pruned_weights_are_exactly_zero_after_every_step(tmp_path, optimizer, policy):
    violations = Violations()
    how = phase(3, OPTIMIZERS[optimizer], optimizer_state=policy, l1=1e-3, decay_all=True)

    made = session(tmp_path, plan((0, 0.5), (1, 0.8), epochs=3), violations, how=how).fit()

    assert violations.steps == 9
    assert violations.seen == []
    assert made.zeros == round(0.8 * made.total)


@pytest.mark.parametrize("policy", ["mask", "reset", "keep"])
@pytest.mark.parametrize(
    "setting",
    [
        {"accumulate_grad_batches": 2},
        {"gradient_clip_val": 0.01},
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
        {"precision": "bf16-mixed"},
    ],
    ids=str,
)
def test_pruned_weights_stay_zero_however_the_trainer_steps(tmp_path, setting, policy):
    violations = Violations()
    how = phase(3, optimizer_state=policy)
    course = plan((0, 0.5), (1, 0.9), epochs=3)

    made = session(tmp_path, course, violations, how=how, **setting).fit()

    assert violations.steps == 9
    assert violations.seen == []
    assert made.zeros == round(0.9 * made.total)


def test_the_norm_that_is_clipped_is_that_of_the_weights_that_are_left(tmp_path):
    norms = []

    class Norms(Callback):
        def on_before_zero_grad(self, trainer, pl_module, optimizer):
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            if gradients:
                norms.append(float(nn.utils.get_total_norm(gradients)))

    course = plan((0, 0.9), epochs=2)
    session(tmp_path, course, Norms(), gradient_clip_val=1e-3).fit()

    assert norms
    assert norms == pytest.approx([1e-3] * len(norms), rel=1e-2)


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


class StateAfterEvent(Callback):
    """Keeps the optimizer's state as it is right after an event."""

    def __init__(self, epoch):
        self.epoch, self.state, self.masks = epoch, None, None

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            (pruning,) = (c for c in trainer.callbacks if isinstance(c, PruningCallback))
            named = dict(pl_module.network.named_parameters())
            state = trainer.optimizers[0].state
            self.state = {
                n: {key: torch.as_tensor(v).clone() for key, v in state.get(w, {}).items()}
                for n, w in named.items()
            }
            self.masks = {name: mask.clone() for name, mask in pruning.masks.items()}


@pytest.mark.parametrize("optimizer", ["nesterov", "adamw", "rmsprop"])
def test_mask_zeroes_the_optimizers_state_of_pruned_weights_and_no_other(tmp_path, optimizer):
    after, how = StateAfterEvent(1), phase(2, OPTIMIZERS[optimizer], peak=0.02)
    session(tmp_path, plan((0, 0.1), (1, 0.8), epochs=2), after, how=how).fit()

    assert all(after.state.values())
    for name, entries in after.state.items():
        moments = [e for e in entries.values() if e.dim()]
        assert moments
        if name in after.masks:
            kept = after.masks[name]
            assert all(not entry[~kept].any() for entry in moments)
        assert any(entry.any() for entry in moments)


def test_reset_forgets_the_whole_state_of_the_optimizer(tmp_path):
    after, how = StateAfterEvent(1), phase(2, optimizer_state="reset")
    session(tmp_path, plan((0, 0.1), (1, 0.9), epochs=2), after, how=how).fit()

    assert not any(after.state.values())


def test_keep_leaves_the_momentum_of_pruned_weights(tmp_path):
    after, how = StateAfterEvent(1), phase(2, optimizer_state="keep")
    session(tmp_path, plan((0, 0.1), (1, 0.9), epochs=2), after, how=how).fit()

    name = "4.weight"
    assert after.state[name]["momentum_buffer"][~after.masks[name]].any()


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


def test_a_second_fit_goes_on_with_the_masks_of_the_first(tmp_path):
    made = session(tmp_path, plan((0, 0.9), epochs=2), how=phase(2, shape="constant")).fit()
    made.trainer.fit_loop.max_epochs = 3
    made.fit()

    assert made.trainer.current_epoch == 3
    assert made.zeros == round(0.9 * made.total)
