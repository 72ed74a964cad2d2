"""Callbacks, trial runs and searches through the real entry point."""

import re
from importlib.util import find_spec

import pytest

from tests.system.entry import record, small

TRIAL = small("debug=fast", "pruner=random")


def test_a_trial_run_takes_one_batch_of_one_epoch(server, tmp_path):
    words = [word for word in TRIAL if not word.startswith("recipe.")]
    done = server.train(tmp_path, *words)

    assert done.returncode == 0, done.stderr
    run = record(tmp_path / "run")
    assert run["config"]["trainer"]["limit_batches"] == 1
    # The plan counts what is trained.
    batches = r" test; dense 1 batch of \d+, fine-tuning 1 batch of \d+$"
    assert re.search(batches, done.stdout, re.MULTILINE)
    assert "dense epoch 1/1" in done.stdout
    assert "finetune epoch 1/1" in done.stdout


def test_a_run_stops_early_and_its_plan_shows_the_longest_course(server, tmp_path):
    stop = ("callbacks=early_stopping", "callbacks.early_stopping.patience=1")
    never = "+callbacks.early_stopping.min_delta=2"
    plan = ("schedule=one_shot", "schedule.sparsity=0.5")
    words = small("recipe.dense.epochs=0", *plan, *stop, never)
    done = server.train(tmp_path, *words)
    again = server.train(tmp_path, *words)

    assert done.returncode == 0, done.stderr
    assert "finetune epoch 2/4" in done.stdout
    assert "finetune epoch 3/4" not in done.stdout
    assert record(tmp_path / "run")["config"]["callbacks"]["early_stopping"]["patience"] == 1
    assert again.stdout.splitlines()[-3:] == done.stdout.splitlines()[-3:]


def test_several_callbacks_and_a_monitor_of_the_learning_rate(server, tmp_path):
    both = "callbacks=[early_stopping,lr_monitor]"
    course = ("recipe.dense.epochs=0", "recipe.finetune.epochs=1", "schedule=one_shot")
    words = small("pruner=random", both, *course)
    done = server.train(tmp_path, *words, "logger=tensorboard")

    assert done.returncode == 0, done.stderr
    (folder,) = {file.parent for file in (tmp_path / "run").rglob("events*")}
    assert b"lr-SGD" in b"".join(file.read_bytes() for file in folder.iterdir())


def test_without_validation_all_images_train_and_the_record_says_so(server, tmp_path):
    words = small("data.validation=none", "recipe.dense.epochs=0", "recipe.finetune.epochs=1")
    done = server.train(tmp_path, *words, "schedule=one_shot", "schedule.sparsity=0.5")

    assert done.returncode == 0, done.stderr
    run = record(tmp_path / "run")
    assert "nothing validated: the last epoch was tested" in done.stdout
    assert (run["data"]["validation_images"], run["validation_accuracy"]) == (0, None)
    assert (run["data"]["train_images"], run["data"]["validation_is_test"]) == (1400, False)


@pytest.mark.long
@pytest.mark.skipif(find_spec("optuna") is None, reason="pip install '.[search]' adds Optuna")
def test_a_search_maximises_the_validation_accuracy_and_is_repeated_exactly(server, tmp_path):
    rate = "recipe.finetune.learning_rate.peak=interval(0.001,0.1)"
    words = ("-m", "hydra/sweeper=search", "hydra.sweeper.n_trials=2", *TRIAL, rate)
    done = server.train(tmp_path, *words, f"hydra.sweep.dir={tmp_path / 'sweep'}")
    runs = {file.parent.name: record(file.parent) for file in tmp_path.rglob("run.json")}
    again = server.train(tmp_path, *words, f"hydra.sweep.dir={tmp_path / 'sweep'}")

    assert (done.returncode, again.returncode) == (0, 0), done.stderr
    best = max(run["validation_accuracy"] for run in runs.values())
    assert f"best_value: {best}" in (tmp_path / "sweep" / "optimization_results.yaml").read_text()
    assert len(runs) == len(list(tmp_path.rglob("run.json"))) == 2
    assert "epoch 1/" not in again.stdout
