"""Every phase of every job has a run of its own with a tracker: config, test result, closed."""

import json

import pytest

from tests.system.entry import TINY, record

SMALL = ("data=digits", "recipe=smoke", TINY)
TRACKER = ["logger=wandb", "logger._target_=tests.system.tracker.Tracker"]


def tracked(folder):
    return {file.parent: json.loads(file.read_text()) for file in folder.rglob("tracked-*.json")}


def test_each_job_of_a_sweep_and_each_phase_has_a_run_of_its_own(server, tmp_path):
    done = server.train(
        tmp_path, *SMALL, "-m", *TRACKER, "seed=1,2", f"hydra.sweep.dir={tmp_path / 'sweep'}"
    )

    assert done.returncode == 0, done.stderr
    runs = tracked(tmp_path)
    assert len(runs) == len(list(tmp_path.rglob("tracked-*.json"))) == 4
    for part, phase in (("dense", "dense"), ("sweep", "finetune")):
        ours = {f: run for f, run in runs.items() if f.is_relative_to(tmp_path / part)}
        assert sorted(run["config"]["seed"] for run in ours.values()) == [1, 2]
        for folder, run in ours.items():
            assert run["exit_code"] == 0
            ((step, accuracy),) = run["metrics"]["test/accuracy"]
            assert step >= max(logged for logged, _ in run["metrics"]["val/accuracy"])
            if phase == "finetune":
                assert accuracy == pytest.approx(record(folder)["test"]["accuracy"])
                assert run["config"]["recipe"]["finetune"]["epochs"] == 4


def test_a_run_that_fails_is_closed_too(server, tmp_path):
    done = server.train(tmp_path, *SMALL, *TRACKER, "recipe.dense.learning_rate.peak=1e30")

    assert done.returncode == 1
    (run,) = tracked(tmp_path).values()
    assert run["exit_code"] == 1


def test_a_tracker_that_cannot_be_closed_loses_no_training(server, tmp_path):
    done = server.train(
        tmp_path, *SMALL, "logger=wandb", "logger._target_=tests.system.tracker.Stubborn"
    )

    assert record(tmp_path / "run")["test"]
    assert "warning: Stubborn: its run cannot be closed (no network today)" in done.stderr


def test_tensorboard_is_given_config_and_test_result(server, tmp_path):
    done = server.train(tmp_path, *SMALL, "logger=tensorboard")

    assert done.returncode == 0, done.stderr
    (log,) = (tmp_path / "run").rglob("hparams.yaml")
    assert "seed: 0" in log.read_text()
    events = b"".join(file.read_bytes() for file in log.parent.glob("events*"))
    assert b"test/accuracy" in events
