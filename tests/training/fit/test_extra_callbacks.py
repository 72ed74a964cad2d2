"""The user's own callbacks rank and stop at the final sparsity only, on resume too."""

from functools import partial

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint, Timer

from lightprune.pruning.plan import Plan, PruneEvent
from lightprune.pruning.pruner import Pruner
from lightprune.training.fit import PhaseRun, fit
from tests.training.small import BreakOffAt, BrokenOffError, equal, phase, plan, small_setup

COURSE = plan((0, 0.3), (3, 0.9), epochs=8)


class StopsAlways(Callback):
    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = True


class StopsOnce(Callback):
    """Asks for a stop after one optimizer step, of which an epoch has three."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.should_stop or trainer.global_step == self.step


class BreakOffAtStep(Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise BrokenOffError


class BreaksOffAtTheEnd(Callback):
    def on_train_end(self, trainer, pl_module):
        raise BrokenOffError


def train(folder, callbacks, *watchers, course=COURSE, ema_decay=0.0, **settings):
    setup = small_setup(*watchers)
    how = phase(course.epochs, ema_decay=ema_decay)
    run = PhaseRun("finetune", how, course, pruner=Pruner(), callbacks=callbacks, **settings)
    return fit(setup, setup.new_network(), run, folder)


def stopping():
    # Stops at the second epoch that it sees: nothing is 2 better than the first.
    return {"stop": EarlyStopping("val/accuracy", mode="max", patience=1, min_delta=2.0)}


def test_early_stopping_counts_from_the_last_prune_event(tmp_path):
    trained = train(tmp_path, stopping())

    assert [row.epoch for row in trained.rows] == [0, 1, 2, 3, 4]
    assert trained.epoch in (3, 4)


def test_a_stop_before_the_last_prune_event_is_taken_back(tmp_path):
    trained = train(tmp_path, {"always": StopsAlways()})

    assert trained.epoch == trained.rows[-1].epoch == 3


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
@pytest.mark.parametrize(
    "stopping", [StopsAlways, partial(StopsOnce, 10), partial(Timer, {"microseconds": 1})]
)
def test_a_stop_within_an_epoch_waits_for_its_end(tmp_path, stopping, ema_decay):
    whole = train(tmp_path / "whole", {}, until=4, ema_decay=ema_decay)
    stopped = train(tmp_path / "stopped", {"own": stopping()}, ema_decay=ema_decay)

    assert stopped.steps == whole.steps == 12
    assert equal(stopped.state, whole.state)
    assert stopped.validation == whole.validation


def test_a_stop_before_the_last_event_of_a_plan_of_steps_is_taken_back(tmp_path):
    events = (PruneEvent(0, 0.3, step=1), PruneEvent(1, 0.9, step=4))
    course = Plan(events, 4, steps=12)

    assert train(tmp_path / "early", {"own": StopsOnce(4)}, course=course).steps == 12
    assert train(tmp_path / "late", {"own": StopsOnce(5)}, course=course).steps == 6


def test_a_stop_within_an_epoch_that_is_broken_off_is_kept(tmp_path):
    course = Plan((PruneEvent(0, 0.9, step=1),), 4, steps=12)
    settings = {"course": course, "save_every_n_steps": 1}
    with pytest.raises(BrokenOffError):
        train(tmp_path, {"own": StopsOnce(4)}, BreakOffAtStep(5), **settings)

    assert train(tmp_path, {"own": StopsOnce(4)}, **settings).steps == 6


def test_a_time_that_is_over_before_the_last_event_stops_no_resumed_training(tmp_path):
    timers = [{"timer": Timer(duration={"microseconds": 1})} for _ in range(2)]
    with pytest.raises(BrokenOffError):
        train(tmp_path, timers[0], BreakOffAt(2))

    assert train(tmp_path, timers[1]).epoch == 3


@pytest.mark.parametrize("watcher", [BreakOffAt(2), BreakOffAt(4), BreaksOffAtTheEnd()])
def test_a_resumed_training_stops_where_it_would_have_stopped(tmp_path, watcher):
    whole = train(tmp_path / "whole", stopping())
    with pytest.raises(BrokenOffError):
        train(tmp_path / "broken", stopping(), watcher)
    resumed = train(tmp_path / "broken", stopping())

    assert equal(resumed.state, whole.state)
    assert [row.val_accuracy for row in resumed.rows] == [row.val_accuracy for row in whole.rows]
    assert resumed.steps == whole.steps


def test_a_checkpoint_of_the_best_is_of_the_final_sparsity_and_beside_those_of_the_run(tmp_path):
    # The lowest accuracy is the best: that of an epoch before the last event, if any counted.
    best = ModelCheckpoint(monitor="val/accuracy", mode="min", save_top_k=1)
    trained = train(tmp_path, {"best": best})

    (saved,) = (tmp_path / "checkpoints" / "best").glob("*.ckpt")
    rows = [row for row in trained.rows if row.epoch >= 3]
    lowest = min(rows, key=lambda row: row.val_accuracy)
    assert torch.load(saved, weights_only=True)["epoch"] == lowest.epoch
    names = {file.name for file in (tmp_path / "checkpoints").iterdir()}
    assert names == {"best", "last.ckpt", "previous.ckpt"}


def test_without_callbacks_a_checkpoint_is_what_it_was(tmp_path):
    train(tmp_path, {}, course=plan((0, 0.5), epochs=1))

    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert "StopAtFinalSparsity" not in last["callbacks"]
