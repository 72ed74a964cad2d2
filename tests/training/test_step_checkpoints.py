"""A training that counts steps is saved within epochs, and goes on there to the same bits."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from lightning import Callback

from lightprune.data.augmentation import Augmentation
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.schedules import MultiStep
from lightprune.training import step_checkpoints
from lightprune.training.checkpoints import LAST, PREVIOUS
from lightprune.training.classifier import NonFiniteLossError
from lightprune.training.fit import PhaseResult, PhaseRun, fit
from tests.callbacks.fits import with_dropout, without_seconds
from tests.training.small import BrokenOffError, equal, phase, small_setup
from tests.training.test_guard_rails import Poison

BATCHES, BLOCK = 6, 2


class Steps(Callback):
    """Notes which step is saved before every batch; breaks the training off after a step."""

    def __init__(self, folder, last=None):
        self.folder, self.last, self.saved = folder, last, []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        path = self.folder / "checkpoints" / LAST
        self.saved.append(saved(self.folder)["global_step"] if path.exists() else 0)

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.last:
            raise BrokenOffError


@dataclass
class Trained:
    result: PhaseResult
    steps: Steps
    state: dict


def saved(folder):
    return torch.load(folder / "checkpoints" / LAST, weights_only=True)


def trained(folder, last=None, *watchers, accumulate=1, block=BLOCK):
    """Trains two epochs, or a part of them."""
    steps = Steps(folder, last)
    setup = small_setup(steps, *watchers, network=with_dropout, accumulate_grad_batches=accumulate)
    augmentation = Augmentation(1, cutmix=0.5, rotation=20.0, zoom=0.2, color=0.3)
    how = replace(phase(2, ema_decay=0.8), batch_size=16, augmentation=augmentation)
    run = PhaseRun(
        "finetune",
        how,
        MultiStep(0.9, steps=3, every_n_steps=block).plan(2, BATCHES // accumulate),
        pruner=Pruner(),
        save_every_n_steps=block,
    )
    return Trained(fit(setup, setup.new_network(), run, folder), steps, saved(folder))


def same(first, second):
    """Whether two trainings ended with the same bits."""
    return (
        equal(first.result.state, second.result.state)
        and first.result.records == second.result.records
        and without_seconds(first.result.rows) == without_seconds(second.result.rows)
        and repr(first.state["optimizer_states"]) == repr(second.state["optimizer_states"])
    )


@pytest.fixture(autouse=True)
def _whatever_it_costs(monkeypatch):
    monkeypatch.setattr(step_checkpoints, "_SHARE", math.inf)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_checkpoints, "_SHARE", math.inf)
        return trained(tmp_path_factory.mktemp("whole"))


def test_every_block_and_every_epoch_is_saved(whole):
    assert whole.steps.saved == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10]


@pytest.mark.parametrize(("broken_at", "resumed_at"), [(3, 2), (11, 10)])
def test_it_goes_on_at_the_step_that_was_saved(whole, tmp_path, capsys, broken_at, resumed_at):
    with pytest.raises(BrokenOffError):
        trained(tmp_path, broken_at)
    seconds = saved(tmp_path)["callbacks"]["EpochHistory"]["seconds"]
    resumed = trained(tmp_path)

    where = f"finetune continues with step {resumed_at + 1} (epoch {resumed_at // BATCHES + 1}/2), "
    assert where in " ".join(capsys.readouterr().out.split())
    assert resumed.steps.saved[0] == resumed_at
    assert len(resumed.steps.saved) == 2 * BATCHES - resumed_at
    assert same(resumed, whole)
    assert resumed.result.rows[resumed_at // BATCHES].seconds > seconds


def test_a_damaged_one_is_followed_by_the_one_before_it(whole, tmp_path, capsys):
    with pytest.raises(BrokenOffError):
        trained(tmp_path, 5)
    last: Path = tmp_path / "checkpoints" / LAST
    last.write_bytes(last.read_bytes()[:-50])
    resumed = trained(tmp_path)

    assert f"continuing from {PREVIOUS}" in " ".join(capsys.readouterr().out.split())
    assert len(resumed.steps.saved) == 2 * BATCHES - 2
    assert same(resumed, whole)


def test_no_step_is_saved_before_its_last_gradient_is_there(tmp_path):
    whole = trained(tmp_path / "whole", accumulate=2, block=1)
    with pytest.raises(BrokenOffError):
        trained(tmp_path / "parts", 2, accumulate=2, block=1)
    resumed = trained(tmp_path / "parts", accumulate=2, block=1)

    assert resumed.steps.saved == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert same(resumed, whole)


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    with pytest.raises(NonFiniteLossError, match=r"weight norm=nan \(first in 4.weight\)"):
        trained(tmp_path, None, Poison(3))

    weights = saved(tmp_path)["state_dict"].values()
    assert saved(tmp_path)["global_step"] == 2
    assert all(weight.isfinite().all() for weight in weights)


def test_saving_takes_a_small_share_of_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(step_checkpoints, "_SHARE", 0)

    assert trained(tmp_path).steps.saved == [0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 6, 6]
