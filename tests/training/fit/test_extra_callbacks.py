"""The user's own callbacks rank and stop at the final sparsity only, on resume too."""

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from lightprune.pruning.pruner import Pruner
from lightprune.training.fit import PhaseRun, fit
from tests.training.small import BreakOffAt, BrokenOffError, equal, phase, plan, small_setup

COURSE = plan((0, 0.3), (3, 0.9), epochs=8)


class StopsAlways(Callback):
    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = True


class BreaksOffAtTheEnd(Callback):
    def on_train_end(self, trainer, pl_module):
        raise BrokenOffError


def train(folder, callbacks, *watchers, course=COURSE):
    setup = small_setup(*watchers)
    how = phase(course.epochs)
    run = PhaseRun("finetune", how, course, pruner=Pruner(), callbacks=callbacks)
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
