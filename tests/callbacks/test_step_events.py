"""Prune events at optimizer steps: within an epoch, under accumulation, resumed in mid epoch."""

import copy

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from lightprune.callbacks.pruning_callback import PruningCallback
from lightprune.errors import InputError
from lightprune.pruning.schedules import Cubic, Linear
from tests.callbacks.fits import Fits, without_seconds
from tests.training.small import BrokenOffError, equal

# Every batch is the same: a resumed Lightning loop takes its batches from the start again.
FEATURES = torch.arange(32.0).reshape(4, 8).sin()


class Regression(LightningModule):
    def __init__(self, optimizers=1):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        self.automatic_optimization = optimizers == 1
        self.count = optimizers

    def training_step(self, batch, batch_idx):
        loss = self.body(batch[0]).square().mean()
        if not self.automatic_optimization:
            self.manual_backward(loss)
            for optimizer in self.optimizers():
                optimizer.step()
                optimizer.zero_grad()
        return loss

    def configure_optimizers(self):
        parts = [self.body[0], self.body[2]] if self.count == 2 else [self.body]
        return [torch.optim.Adam(part.parameters(), lr=0.01) for part in parts]


class Sparsities(Callback):
    """The steps before each batch, and the sparsity in it."""

    def __init__(self):
        self.seen = []

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        weights = [pl_module.body[layer].weight for layer in (0, 2)]
        zeros = sum(int((weight == 0).sum()) for weight in weights)
        self.seen.append((trainer.global_step, zeros))


class Endless(IterableDataset):
    def __iter__(self):
        while True:
            yield FEATURES[0]


def loader(batches=12):
    return DataLoader(TensorDataset(FEATURES.repeat(batches, 1)), batch_size=4)


def fitted(module, pruning, *others, data=None, checkpoint=None, **settings):
    trainer = Trainer(
        callbacks=[pruning, *others],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in others),
        **{"max_epochs": 1, **settings},
    )
    trainer.fit(module, loader() if data is None else data, ckpt_path=checkpoint, weights_only=True)
    return trainer


def test_one_epoch_is_pruned_gradually():
    module, pruning, seen = (
        Regression(),
        PruningCallback(sparsity=0.75, every_n_steps=3),
        Sparsities(),
    )
    fitted(module, pruning, seen)
    total = 8 * 16 + 16 * 2
    zeros = [round(event.sparsity * total) for event in Cubic(0.75).plan(4).events]

    assert [record.step for record in pruning.records] == [0, 3, 6]
    assert [record.epoch for record in pruning.records] == [0, 0, 0]
    assert seen.seen == [(step, zeros[min(step // 3, 2)]) for step in range(12)]


@pytest.mark.parametrize("step", [1, 4, 5, 6, 7, 11])
def test_a_fit_resumed_in_mid_epoch_ends_with_the_same_bits(tmp_path, step):
    start = Regression()
    every = ModelCheckpoint(
        tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1, auto_insert_metric_name=False
    )
    whole, pruning = copy.deepcopy(start), PruningCallback(sparsity=0.9, every_n_steps=2)
    fitted(whole, pruning, every)
    resumed, again = copy.deepcopy(start), PruningCallback(sparsity=0.9, every_n_steps=2)
    fitted(resumed, again, checkpoint=tmp_path / f"{step}.ckpt")

    assert equal(resumed.state_dict(), whole.state_dict())
    assert again.records == pruning.records
    assert again.masks.digest() == pruning.masks.digest()


def test_a_resumed_fit_with_events_at_other_steps_is_refused(tmp_path):
    every = ModelCheckpoint(tmp_path, "{step}", every_n_train_steps=5, save_top_k=-1)
    fitted(Regression(), PruningCallback(sparsity=0.9, every_n_steps=2), every)

    with pytest.raises(InputError, match=r"checkpoint: its plan is event 0=PruneEvent"):
        fitted(
            Regression(),
            PruningCallback(sparsity=0.9, every_n_steps=3),
            checkpoint=next(tmp_path.glob("*5.ckpt")),
        )


def test_steps_are_those_of_the_optimizer_under_accumulation():
    pruning, seen = PruningCallback(sparsity=0.6, every_n_steps=2), Sparsities()
    fitted(Regression(), pruning, seen, accumulate_grad_batches=2)

    assert [record.step for record in pruning.records] == [0, 2]
    assert dict(seen.seen)[5] == pruning.masks.pruned


def test_every_event_happens_where_several_optimizers_step_for_a_batch():
    pruning = PruningCallback(schedule=Linear(0.6, span=1.0, every_n_steps=3))
    fitted(Regression(optimizers=2), pruning)

    assert [record.step for record in pruning.records] == list(range(0, 24, 3))
    assert pruning.masks.pruned == round(0.6 * pruning.masks.total)


@pytest.mark.parametrize("settings", [{"max_epochs": -1, "max_steps": 72}, {"max_epochs": 3}])
@pytest.mark.parametrize("every_n_steps", [None, 24])
def test_every_optimizer_that_steps_by_hand_counts(settings, every_n_steps):
    pruning = PruningCallback(schedule=Linear(0.6, span=1.0, every_n_steps=every_n_steps))
    trainer = fitted(Regression(optimizers=2), pruning, **settings)

    assert trainer.current_epoch == 3
    assert [record.epoch for record in pruning.records] == [0, 1, 2]
    assert pruning.masks.pruned == round(0.6 * pruning.masks.total)


def test_a_plan_of_steps_by_hand_says_what_it_assumes():
    with pytest.warns(UserWarning, match=r"manual optimization: .* every batch for 2 steps"):
        fitted(Regression(optimizers=2), PruningCallback(sparsity=0.6, every_n_steps=3))


@pytest.mark.parametrize(
    ("data", "settings", "epochs"),
    [
        (None, {"max_steps": 20, "max_epochs": -1}, [0, 0, 0, 1]),
        (None, {"max_steps": 20, "max_epochs": 5}, [0, 0, 0, 1]),
        (DataLoader(Endless(), batch_size=4), {"max_steps": 20, "max_epochs": -1}, [0, 0, 0, 0]),
    ],
)
def test_a_budget_of_steps_is_one(data, settings, epochs):
    pruning = PruningCallback(schedule=Linear(0.6, every_n_steps=4, span=0.8))
    trainer = fitted(Regression(), pruning, data=data, **settings)

    assert trainer.global_step == 20
    assert [record.step for record in pruning.records] == [0, 4, 8, 12]
    assert [record.epoch for record in pruning.records] == epochs


def test_an_unknown_number_of_steps_is_refused():
    data = DataLoader(Endless(), batch_size=4)
    with pytest.raises(InputError, match="every_n_steps=4: the number of steps is unknown"):
        fitted(Regression(), PruningCallback(sparsity=0.5, every_n_steps=4), data=data)


def test_gradual_pruning_without_room_is_told():
    with pytest.warns(UserWarning, match=r"Cubic\(.* one event, .* every_n_steps=N has events"):
        fitted(Regression(), PruningCallback(sparsity=0.5))


class BreakOffAtStep(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            raise BrokenOffError


@pytest.mark.parametrize("step", [2, 5, 7])
def test_a_phase_of_an_experiment_ends_the_same_if_it_breaks_off_in_mid_epoch(tmp_path, step):
    fits = Fits(tmp_path, {"peak": "auto"})
    course = Cubic(0.8, every_n_steps=2).plan(4, 3)
    whole = fits.run("whole", course=course)
    with pytest.raises(BrokenOffError):
        fits.run("resumed", BreakOffAtStep(step), course=course)
    resumed = fits.run("resumed", course=course)

    assert [record.step for record in whole.records] == [0, 2, 4, 6]
    assert [record.epoch for record in whole.records] == [0, 0, 1, 2]
    assert equal(resumed.state, whole.state)
    assert resumed.records == whole.records
    assert without_seconds(resumed.rows) == without_seconds(whole.rows)
    assert whole.epoch >= 2


def test_a_fit_resumes_from_before_its_first_event_where_several_optimizers_step(tmp_path):
    """Both step for a batch: the step of the event is over when the checkpoint is written."""
    start = Regression(optimizers=2)

    def pruning():
        return PruningCallback(schedule=Linear(0.6, span=1.0, every_n_steps=3, start=3))

    every = ModelCheckpoint(
        tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1, auto_insert_metric_name=False
    )
    whole, resumed = copy.deepcopy(start), copy.deepcopy(start)
    fitted(whole, pruning(), every)
    again = pruning()
    fitted(resumed, again, checkpoint=tmp_path / "4.ckpt")

    assert [record.step for record in again.records] == list(range(3, 24, 3))
    assert equal(resumed.state_dict(), whole.state_dict())
