import shutil

import pytest
import torch
from lightning import Callback

from lightprune.training.checkpoints import BEST, LAST, saved_weights

from .small import copied, equal, phase, plan, session


class Told(Callback):
    """Logs made-up accuracies, and keeps the weights of every epoch."""

    def __init__(self, *accuracies):
        self.accuracies, self.weights = accuracies, []

    def on_train_epoch_end(self, trainer, pl_module):
        pl_module.log("told", self.accuracies[trainer.current_epoch])
        self.weights.append(copied(pl_module.network.state_dict()))


def trained(folder, course, *accuracies, watchers=(), checkpoint=None, **trainer):
    """Trains with both checkpoints; `best` ranks the accuracies told."""
    told, how = Told(*accuracies), phase(course.epochs)
    made = session(folder, course, told, *watchers, how=how, monitor="told", **trainer)
    made.fit(checkpoint)
    return made, told


def epoch(file):
    return torch.load(file, weights_only=True)["epoch"]


@pytest.mark.parametrize(
    ("course", "accuracies", "best"),
    [
        (plan((0, 0.3), (2, 0.9), epochs=5), (0.9, 0.8, 0.3, 0.5, 0.4), 3),
        (plan((2, 0.9), epochs=4), (0.9, 0.9, 0.1, 0.05), 2),
        (plan((0, 0.9), epochs=3), (0.6, 0.5, 0.4), 0),
        (plan((0, 0.1), (1, 0.2), (2, 0.9), epochs=3), (0.9, 0.9, 0.1), 2),
        (plan(epochs=3), (0.3, 0.5, 0.4), 1),
    ],
    ids=str,
)
def test_best_is_the_best_epoch_at_the_final_sparsity_even_if_a_denser_one_was_better(
    tmp_path, course, accuracies, best
):
    _, told = trained(tmp_path, course, *accuracies)

    assert epoch(tmp_path / BEST) == best
    assert equal(saved_weights(tmp_path / BEST), told.weights[best])


def test_last_is_always_the_latest_epoch(tmp_path):
    epochs = []

    class Watch(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if (tmp_path / LAST).exists():
                epochs.append(epoch(tmp_path / LAST))

    course = plan((0, 0.3), (2, 0.9), epochs=4)
    made = session(tmp_path, course, Watch(), monitor="val/accuracy").fit()

    assert epochs == [0, 1, 2]
    assert epoch(tmp_path / LAST) == 3
    assert equal(saved_weights(tmp_path / LAST), made.network.state_dict())


def test_there_is_no_best_before_the_last_event(tmp_path):
    seen = []

    class Watch(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            seen.append((tmp_path / BEST).exists())

    course = plan((0, 0.3), (2, 0.9), epochs=4)
    session(tmp_path, course, Watch(), monitor="val/accuracy").fit()

    assert seen == [False, False, False, True]


@pytest.mark.parametrize("interval", [1.0, 1 / 3])
def test_no_more_than_two_files_are_kept(tmp_path, interval):
    course = plan((0, 0.3), (2, 0.9), epochs=4)
    trained(tmp_path, course, 0.1, 0.2, 0.3, 0.4, val_check_interval=interval)

    assert sorted(file.name for file in tmp_path.glob("*.ckpt")) == [BEST, LAST]


def test_of_equal_epochs_the_first_is_the_best(tmp_path):
    trained(tmp_path, plan((0, 0.5), epochs=3), 0.5, 0.5, 0.5)

    assert epoch(tmp_path / BEST) == 0


def test_checkpoints_load_without_running_code(tmp_path):
    trained(tmp_path, plan((0, 0.5), epochs=2), 0.4, 0.5)

    for name in (BEST, LAST):
        state = torch.load(tmp_path / name, weights_only=True)
        assert state["callbacks"]["PruningCallback"]["records"][0]["target"] == 0.5


def test_saved_weights_bear_the_names_of_the_network(tmp_path):
    made, _ = trained(tmp_path, plan((0, 0.5), epochs=1), 0.5)

    state = saved_weights(tmp_path / LAST)

    assert list(state) == list(made.network.state_dict())
    made.network.load_state_dict(state)


def test_a_kill_between_the_two_files_leaves_no_third_one(tmp_path):
    class KeepLast(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            if trainer.current_epoch == 2:
                shutil.copy(tmp_path / LAST, tmp_path / "older")

    course, accuracies = plan((0, 0.3), (2, 0.9), epochs=4), (0.9, 0.8, 0.3, 0.2)
    trained(tmp_path, course, *accuracies, watchers=[KeepLast()])
    (tmp_path / "older").replace(tmp_path / LAST)
    trained(tmp_path, course, *accuracies, checkpoint=tmp_path / LAST)

    assert sorted(file.name for file in tmp_path.glob("*.ckpt")) == [BEST, LAST]
    assert (epoch(tmp_path / BEST), epoch(tmp_path / LAST)) == (2, 3)
