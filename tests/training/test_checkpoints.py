import os
import re
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning import Callback

from lightprune.files import SaveError
from lightprune.training.checkpoints import (
    LAST,
    PREVIOUS,
    SealedCheckpointIO,
    is_intact,
    latest_intact,
)
from tests.training.small import copied, equal, plan, session


class SetAccuracy(Callback):
    """Makes accuracies up, and keeps the weights of every epoch."""

    def __init__(self, *accuracies):
        self.accuracies, self.weights = accuracies, []

    def on_train_epoch_end(self, trainer, pl_module):
        correct = round(1000 * self.accuracies[trainer.current_epoch])
        pl_module.evaluation = replace(pl_module.evaluation, correct=correct, images=1000)
        self.weights.append(copied(pl_module.network.state_dict()))


def trained(folder, course, *accuracies, watchers=(), checkpoint=None, **trainer):
    """Trains with checkpoints; the best epoch is that of the highest accuracy set."""
    set_accuracy = SetAccuracy(*accuracies)
    made = session(folder, course, set_accuracy, *watchers, saves=True, **trainer)
    made.fit(checkpoint)
    return made, set_accuracy


def epoch(file):
    return torch.load(file, weights_only=True)["epoch"]


def saved(folder, *numbers):
    """Saves checkpoints one after the other."""
    for number in numbers:
        SealedCheckpointIO().save_checkpoint({"epoch": number}, folder / LAST)


@pytest.mark.parametrize(
    ("course", "accuracies", "best"),
    [
        (plan((0, 0.3), (2, 0.9), epochs=5), (0.9, 0.8, 0.3, 0.5, 0.4), 3),
        (plan((2, 0.9), epochs=4), (0.9, 0.9, 0.1, 0.05), 2),
        (plan((0, 0.9), epochs=3), (0.6, 0.5, 0.4), 0),
        (plan((0, 0.1), (1, 0.2), (2, 0.9), epochs=3), (0.9, 0.9, 0.1), 2),
        (plan(epochs=3), (0.3, 0.5, 0.4), 1),
        (plan((0, 0.5), epochs=3), (0.5, 0.5, 0.5), 0),
    ],
    ids=str,
)
def test_best_is_the_best_epoch_at_the_final_sparsity_even_if_a_denser_one_was_better(
    tmp_path, course, accuracies, best
):
    made, set_accuracy = trained(tmp_path, course, *accuracies)
    held = torch.load(tmp_path / LAST, weights_only=True)["callbacks"]["BestEpoch"]

    assert made.best.epoch == held["epoch"] == best
    assert equal(made.best.weights, set_accuracy.weights[best])
    assert equal(held["weights"], set_accuracy.weights[best])


def test_a_resumed_run_ends_with_the_best_epoch_of_the_whole(tmp_path):
    course, accuracies = plan((0, 0.9), epochs=4), (0.3, 0.9, 0.5, 0.4)
    whole, _ = trained(tmp_path, course, *accuracies)
    half, _ = trained(tmp_path, course, *accuracies, checkpoint=tmp_path / PREVIOUS)

    assert half.best.epoch == whole.best.epoch == 1
    assert equal(half.best.weights, whole.best.weights)


def test_last_is_always_the_latest_epoch_and_previous_the_one_before(tmp_path):
    epochs = []

    class Watch(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            epochs.append([epoch(f) for f in (tmp_path / PREVIOUS, tmp_path / LAST) if f.exists()])

    made = session(tmp_path, plan((0, 0.3), (2, 0.9), epochs=4), Watch(), saves=True).fit()
    state = torch.load(tmp_path / LAST, weights_only=True)["state_dict"]

    assert epochs == [[], [0], [0, 1], [1, 2]]
    assert all(torch.equal(state[f"network.{n}"], w) for n, w in made.weights.items())


@pytest.mark.parametrize("interval", [1.0, 1 / 3])
def test_no_more_than_two_files_are_kept(tmp_path, interval):
    course = plan((0, 0.3), (2, 0.9), epochs=4)
    trained(tmp_path, course, 0.1, 0.2, 0.3, 0.4, val_check_interval=interval)

    assert sorted(file.name for file in tmp_path.iterdir()) == [LAST, PREVIOUS]


def test_checkpoints_load_without_running_code(tmp_path):
    trained(tmp_path, plan((0, 0.5), epochs=2), 0.4, 0.5)

    for name in (PREVIOUS, LAST):
        state = torch.load(tmp_path / name, weights_only=True)
        assert state["callbacks"]["PruningCallback"]["records"][0]["target"] == 0.5


@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_breaks_the_seal(tmp_path_factory, place, bit):
    folder = tmp_path_factory.mktemp("flip")
    saved(folder, 0)
    content = bytearray((folder / LAST).read_bytes())
    content[int(place * len(content))] ^= 1 << bit
    (folder / LAST).write_bytes(content)

    assert not is_intact(folder / LAST)


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_checkpoint_cut_short_anywhere_is_not_intact(tmp_path_factory, share):
    folder = tmp_path_factory.mktemp("cut")
    saved(folder, 0)
    content = (folder / LAST).read_bytes()
    (folder / LAST).write_bytes(content[: int(share * len(content))])

    assert not is_intact(folder / LAST)


def test_the_newest_intact_checkpoint_is_taken_and_a_damaged_one_set_aside(tmp_path):
    saved(tmp_path, 0, 1)
    with (tmp_path / LAST).open("r+b") as file:
        file.seek(100)
        file.write(b"\xff")

    assert latest_intact(tmp_path) == (tmp_path / PREVIOUS, (tmp_path / "last.damaged",))
    saved(tmp_path, 2)
    assert [epoch(latest_intact(tmp_path)[0]), epoch(tmp_path / PREVIOUS)] == [2, 0]


def test_without_an_intact_checkpoint_there_is_none(tmp_path):
    (tmp_path / LAST).write_bytes(b"")
    torch.save({"epoch": 3}, tmp_path / PREVIOUS)

    assert latest_intact(tmp_path) == (
        None,
        (tmp_path / "last.damaged", tmp_path / "previous.damaged"),
    )
    assert latest_intact(tmp_path) == (None, ())


def test_what_cannot_be_saved_leaves_the_checkpoint_before_it(tmp_path, monkeypatch):
    saved(tmp_path, 0, 1)

    def full(state, file):
        file.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(SaveError, match=rf"{re.escape(str(tmp_path / LAST))}: cannot be written"):
        saved(tmp_path, 2)

    assert [epoch(tmp_path / LAST), epoch(tmp_path / PREVIOUS)] == [1, 0]
    assert len(os.listdir(tmp_path)) == 2


def test_a_file_system_without_second_names_keeps_the_one_before_too(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    saved(tmp_path, 0, 1)

    assert [epoch(tmp_path / LAST), epoch(tmp_path / PREVIOUS)] == [1, 0]
    assert is_intact(tmp_path / PREVIOUS)
