"""What people do with a Trainer: dry runs, other precisions, dense checkpoints, new optimizers."""

import copy
import pickle
import warnings
from functools import partial

import pytest
import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision
from lightning.pytorch.utilities.combined_loader import CombinedLoader
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import DataLoader, TensorDataset

from lightprune import Cubic, MultiStep, Pruner, PruningCallback, Targets
from lightprune.errors import InputError
from lightprune.pruning import Movement, Plan, PruneEvent, Taylor
from tests.callbacks.optimizers.test_mixing_optimizers import Eigenbasis
from tests.callbacks.scenarios import BATCHES, EPOCHS, SCHEDULE, SPARSITY, Module, Scenario
from tests.callbacks.test_refusals import refusal

pytestmark = pytest.mark.filterwarnings("ignore")


class WithForward(Module):
    def forward(self, x):
        return self.head(self.encoder(x))


class NewOptimizers(Module):
    """Makes its optimizers anew in the middle of a training."""

    def on_train_epoch_start(self):
        if self.trainer.current_epoch == 1:
            self.trainer.strategy.setup_optimizers(self.trainer)


class Stop(Callback):
    """Ends a training after an epoch, and saves it."""

    def __init__(self, epoch, file=None):
        self.epoch, self.file = epoch, file

    def on_train_epoch_end(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            trainer.should_stop = True
            if self.file:
                trainer.save_checkpoint(self.file)


def fitted(folder, callback, *watchers, checkpoint=None, module=Module, **trainer):
    scenario = Scenario(module, lambda: [callback] if callback else [], trainer=trainer)
    return scenario.fit(folder, *watchers, checkpoint=checkpoint)


@pytest.mark.parametrize(
    "schedule", [MultiStep(SPARSITY), Cubic(SPARSITY, every_n_steps=100), SCHEDULE.plan(9)]
)
def test_a_dry_run_runs_whatever_the_schedule(tmp_path, schedule):
    callback = PruningCallback(schedule=schedule)
    fitted(tmp_path, callback, fast_dev_run=True, max_epochs=9)

    assert len(callback.records) == 1
    assert callback.sparsity == pytest.approx(callback.plan.events[0].sparsity, abs=0.01)


@pytest.mark.parametrize(
    ("precision", "example"),
    [("bf16-true", {"x": torch.zeros(1, 6)}), ("64-true", (torch.zeros(1, 6),))],
    ids=["bf16-true", "64-true"],
)
def test_an_example_is_in_the_precision_of_the_module(tmp_path, precision, example):
    callback = PruningCallback(schedule=SCHEDULE, example=example)
    fitted(tmp_path, callback, module=WithForward, precision=precision)

    assert callback.sparsity == pytest.approx(SPARSITY, abs=0.01)
    assert callback.records[-1].live_sparsity == pytest.approx(SPARSITY, abs=0.01)


def test_two_callbacks_of_one_part_log_a_sparsity_each(tmp_path):
    parts = {"head": 0.5, "encoder.*": 0.75}
    callbacks = [
        PruningCallback(
            schedule="one_shot", sparsity=sparsity, targets=Targets(("*",), include=(pattern,))
        )
        for pattern, sparsity in parts.items()
    ]
    logged = Scenario(pruning=lambda: callbacks).fit(tmp_path).trainer.callback_metrics

    for name, callback in zip(("sparsity", "sparsity_2"), callbacks, strict=True):
        assert float(logged[name]) == pytest.approx(callback.sparsity)


def test_optimizers_that_are_made_anew_keep_the_zeros(tmp_path):
    module = partial(NewOptimizers, partial(Eigenbasis, lr=0.01))
    callback = PruningCallback(schedule=SCHEDULE)
    fitted(tmp_path, callback, module=module)

    assert callback.masks.pruned == round(SPARSITY * callback.masks.total)


@pytest.fixture(scope="module")
def dense(tmp_path_factory):
    """A checkpoint after two epochs without a callback."""
    folder = tmp_path_factory.mktemp("dense")
    fitted(folder, None, max_epochs=2).trainer.save_checkpoint(folder / "dense.ckpt")
    return folder / "dense.ckpt"


def test_a_schedule_that_is_over_in_a_dense_checkpoint_is_refused(tmp_path, dense):
    callback = PruningCallback(schedule=MultiStep(SPARSITY, steps=2))

    message = refusal(tmp_path, callback, checkpoint=dense, trainer={"max_epochs": 4})
    assert message == (
        "schedule: its event at epoch 0 is over, since the training goes on at epoch 2 from a "
        "checkpoint without masks of PruningCallback; allowed are a checkpoint that has them, or a "
        "schedule with start=2"
    )


def test_a_schedule_that_starts_later_goes_on_from_a_dense_checkpoint(tmp_path, dense):
    callback = PruningCallback(schedule=MultiStep(SPARSITY, start=2, steps=2))
    fitted(tmp_path, callback, checkpoint=dense, max_epochs=4)

    assert [record.epoch for record in callback.records] == [2, 3]
    assert callback.masks.pruned == round(SPARSITY * callback.masks.total)


def test_targets_that_have_changed_since_the_checkpoint_are_refused(tmp_path):
    file = tmp_path / "one.ckpt"
    fitted(tmp_path, PruningCallback(schedule=SCHEDULE), Stop(0, file))
    callback = PruningCallback(schedule=SCHEDULE, targets=Targets(("Linear",)))

    message = refusal(tmp_path, callback, checkpoint=file)
    assert "from a checkpoint without masks of PruningCallback('', Targets(types=('Li" in message


def test_another_module_is_pruned_afresh(tmp_path):
    callback = PruningCallback(schedule=MultiStep(SPARSITY, steps=1, start=1))
    fitted(tmp_path, callback)
    watched = []

    class First(Callback):
        def on_train_start(self, trainer, pl_module):
            watched.append((callback.sparsity, len(callback.records)))

    fitted(tmp_path, callback, First())

    assert watched == [(0.0, 0)]
    assert [record.epoch for record in callback.records] == [1]


def test_a_training_that_ends_before_the_last_event_says_so(tmp_path):
    callback = PruningCallback(schedule=SCHEDULE)
    message = r"ended before the event at epoch 1: sparsity is 0\.55\d*, not 0\.8$"
    with pytest.warns(UserWarning, match=message):
        fitted(tmp_path, callback, Stop(0))
    with warnings.catch_warnings(record=True) as caught:
        fitted(tmp_path, PruningCallback(schedule=SCHEDULE))
    assert not any("ended before" in str(each.message) for each in caught)


def test_a_plan_may_be_trained_in_pieces(tmp_path):
    plan = Plan((PruneEvent(0, 0.5), PruneEvent(2, SPARSITY)), 4)
    whole, callback = (PruningCallback(schedule=plan) for _ in range(2))
    fitted(tmp_path, whole, max_epochs=4)
    first = fitted(tmp_path, callback, max_epochs=2)
    first.trainer.save_checkpoint(tmp_path / "first.ckpt")
    fitted(tmp_path, callback, checkpoint=tmp_path / "first.ckpt", max_epochs=4)

    assert callback.records == whole.records


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_callback_that_has_pruned_can_be_copied(tmp_path, copied):
    callback = PruningCallback(schedule=SCHEDULE)
    fitted(tmp_path, callback)

    other = copied(callback)
    assert other.masks.digest() == callback.masks.digest()
    assert other.records == callback.records


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pruner": Cubic(0.9)}, "pruner=Cubic: allowed is a Pruner"),
        ({"targets": "Linear"}, "targets=Linear: allowed is a Targets"),
        ({"example": [torch.zeros(1, 6)]}, "example=list: allowed is a tensor, a tuple of tensors"),
        ({"module": Module()}, "module=Module: allowed is the name of a part of the Lightning"),
        ({"metric": 5}, "metric=5: allowed is the name of what the validation logs"),
        ({"optimizer_state": "drop"}, "optimizer_state=drop: allowed are mask, reset, keep"),
        ({"pruner": Pruner(weights="rewind")}, "pruner.weights=rewind: experiments alone"),
    ],
    ids=["pruner", "targets", "example", "module", "metric", "state", "rewind"],
)
def test_arguments_that_cannot_be_followed_are_refused_at_once(arguments, message):
    with pytest.raises(InputError, match=message):
        PruningCallback(**{"schedule": SCHEDULE, **arguments})


def test_early_stopping_counts_from_the_last_event(tmp_path):
    """Nothing is 99 better than the first: it stops at the second epoch that it sees."""
    callback = PruningCallback(schedule=Plan((PruneEvent(0, 0.5), PruneEvent(2, SPARSITY)), 9))
    stopping = EarlyStopping("val/score", patience=1, min_delta=99.0, mode="max")
    trainer = fitted(tmp_path, callback, stopping, max_epochs=9).trainer

    assert trainer.current_epoch == 4
    assert callback.sparsity == pytest.approx(SPARSITY, abs=0.01)


class Listing(Callback):
    """The epochs whose checkpoints lie in a folder at the start of each epoch."""

    def __init__(self, folder):
        self.folder, self.epochs = folder, []

    def on_train_epoch_start(self, trainer, pl_module):
        files = self.folder.glob("epoch=*.ckpt")
        self.epochs.append({int(file.stem.removeprefix("epoch=")) for file in files})


class Seeing(Module):
    """Takes batches of any structure, and notes the first of every epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_before_batch_transfer(self, batch, dataloader_idx):
        return tree_map(lambda x: x + 1 if x.is_floating_point() else x, batch)

    def loss(self, batch):
        x, y = (value for value in tree_leaves(batch) if value is not None)
        return super().loss((x, y))

    def training_step(self, batch, batch_idx):
        if batch_idx == 0:
            self.seen.append(batch)
        return self.loss(batch)


def rows(offset):
    return DataLoader(torch.randn(12, 6) + offset, batch_size=4)


def labels():
    return DataLoader(torch.arange(8) % 3, batch_size=4)


@pytest.mark.parametrize("precision", ["32-true", "bf16-true", "64-true"])
@pytest.mark.parametrize(
    "loaders",
    [
        lambda: DataLoader(TensorDataset(torch.randn(8, 6), torch.arange(8) % 3), batch_size=4),
        lambda: {"x": rows(0.0), "y": labels()},
        lambda: [rows(1.0), labels()],
        lambda: CombinedLoader([rows(1.0), labels()], "min_size"),
    ],
    ids=["one", "dict", "list", "combined"],
)
def test_gradients_are_of_the_batches_that_a_training_step_gets(tmp_path, loaders, precision):
    probed = []

    def loss(module, batch):
        probed.append(batch)
        return module.loss(batch)

    callback = PruningCallback(Pruner(Taylor(batches=1)), SCHEDULE, loss=loss)
    settings = {"accelerator": "cpu", "max_epochs": 2, "precision": precision, "logger": False}
    module, trainer = Seeing(), Trainer(**settings, callbacks=[callback], default_root_dir=tmp_path)
    trainer.fit(module, loaders())

    for mine, trained in zip(probed, module.seen, strict=True):
        torch.testing.assert_close(mine, trained, rtol=0, atol=0)
    assert callback.masks.pruned == round(SPARSITY * callback.masks.total)


@pytest.mark.parametrize("fused", [False, True])
def test_movement_is_the_same_under_a_scaler(tmp_path, fused):
    scores = []
    for plugins in ([], [MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", 8.0))]):
        callback = PruningCallback(Pruner(Movement()), MultiStep(SPARSITY, start=1, steps=2))
        optimizer = partial(torch.optim.SGD, lr=0.0, fused=fused)
        fitted(tmp_path, callback, module=partial(Module, optimizer), plugins=plugins)
        scores.append(callback.state_dict()["accumulated"])

    torch.testing.assert_close(*scores, rtol=0.02, atol=2e-4)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_checkpoints_are_ranked_from_the_last_event_and_the_newest_is_kept_before_it(
    tmp_path, mode
):
    events = Plan((PruneEvent(0, 0.2), PruneEvent(3, SPARSITY)), 6)
    callback, listing = PruningCallback(schedule=events), Listing(tmp_path)
    best = ModelCheckpoint(
        tmp_path, "{epoch}", "val/score", mode=mode, save_top_k=1, save_last=True
    )
    every = ModelCheckpoint(tmp_path / "all", "{epoch}", "val/score", mode=mode, save_top_k=-1)
    options = {"enable_checkpointing": True, "max_epochs": 6}
    fitted(tmp_path, callback, listing, best, **options)
    fitted(tmp_path, PruningCallback(schedule=events), every, **options)

    assert listing.epochs[:4] == [set(), {0}, {1}, {2}]
    assert len([*(tmp_path / "all").glob("*.ckpt")]) == 6
    scores = {p: float(score) for p, score in every.best_k_models.items() if abs(score) < 1e9}
    names = sorted(int(path.rpartition("=")[2].removesuffix(".ckpt")) for path in scores)
    assert names == [3, 4, 5]
    final = (min if mode == "min" else max)(scores.values())
    assert float(best.best_model_score) == final == float(every.best_model_score)
    assert int(best.best_model_path.rpartition("=")[2].removesuffix(".ckpt")) >= 3
    assert (tmp_path / "last.ckpt").exists()


def test_a_checkpoint_within_an_epoch_is_not_ranked_by_what_was_validated_before_an_event(tmp_path):
    callback = PruningCallback(schedule=Plan((PruneEvent(1, SPARSITY),), EPOCHS))
    best = ModelCheckpoint(tmp_path, "{step}", "val/score", save_top_k=-1, every_n_train_steps=1)
    fitted(tmp_path, callback, best, enable_checkpointing=True)

    scores = {int(p.rpartition("=")[2][:-5]): s for p, s in best.best_k_models.items()}
    ranked = {step for step, score in scores.items() if abs(score) < 1e9}
    # The first validation of the pruned network is after step 2 * BATCHES.
    assert ranked == set(range(2 * BATCHES + 1, EPOCHS * BATCHES + 1))
    assert len(scores) > len(ranked)


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_training_resumed_before_the_last_event_forgets_the_scores_of_denser_networks(
    tmp_path, mode
):
    events = Plan((PruneEvent(0, 0.2), PruneEvent(2, SPARSITY)), 4)

    def best_two(*watchers, checkpoint=None):
        best = ModelCheckpoint(
            tmp_path, "{epoch}", "val/score", mode=mode, save_top_k=2, save_last=True
        )
        pruning = PruningCallback(schedule=events)
        options = {"enable_checkpointing": True, "max_epochs": 4, "checkpoint": checkpoint}
        fitted(tmp_path, pruning, best, *watchers, **options)
        return {path: float(score) for path, score in best.best_k_models.items()}

    interrupted = best_two(Stop(1))
    resumed = best_two(checkpoint=tmp_path / "last.ckpt")
    for file in tmp_path.glob("*.ckpt"):
        file.unlink()

    assert {path.rpartition("/")[2] for path in interrupted} == {"epoch=0.ckpt", "epoch=1.ckpt"}
    assert resumed == best_two()
    assert {path.rpartition("/")[2] for path in resumed} == {"epoch=2.ckpt", "epoch=3.ckpt"}


def test_without_a_callback_that_prunes_every_epoch_ranks(tmp_path):
    best = ModelCheckpoint(tmp_path, "{epoch}", "val/score", mode="min", save_top_k=-1)
    fitted(tmp_path, PruningCallback(schedule=SCHEDULE), best, enable_checkpointing=True)
    for file in tmp_path.glob("*.ckpt"):
        file.unlink()
    fitted(tmp_path, None, best, enable_checkpointing=True)

    assert len([*tmp_path.glob("*.ckpt")]) == 3
    assert all(abs(score) < 1e9 for score in best.best_k_models.values())
