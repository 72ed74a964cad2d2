"""A run has one run of each tracker: both phases on one axis, config, test results, closed."""

import json
import sqlite3
from importlib.util import find_spec

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightprune.files import read_csv
from tests.system.entry import TINY, record, train

SMALL = ("data=digits", "recipe=smoke", TINY)
TRACKER = ["logger=wandb", "logger.wandb._target_=tests.system.tracker.Tracker"]


def tracked(folder):
    return {file.parent: json.loads(file.read_text()) for file in folder.rglob("tracked-*.json")}


@pytest.fixture(scope="module")
def swept(server, tmp_path_factory):
    """A sweep of two runs with one dense network."""
    folder = tmp_path_factory.mktemp("tracked")
    sweep = folder / "sweep"
    done = server.train(
        folder, *SMALL, "-m", *TRACKER, "pruner=global,local", f"hydra.sweep.dir={sweep}"
    )
    assert done.returncode == 0, done.stderr
    return sweep


def test_each_run_of_a_sweep_has_one_run_in_the_group_of_the_sweep(swept):
    runs = tracked(swept.parent)

    assert len(runs) == len(list(swept.parent.rglob("tracked-*.json"))) == 2
    assert {run["config"]["pruner"]["scope"] for run in runs.values()} == {"global", "local"}
    assert len({run["id"] for run in runs.values()}) == 2
    for folder, run in runs.items():
        assert (run["name"], run["group"]) == (folder.name, "sweep")
        assert run["exit_code"] == 0
        assert run["config"]["recipe"]["finetune"]["epochs"] == 4


def test_both_phases_are_on_one_axis_whoever_trained_the_dense_network(swept):
    for run in tracked(swept).values():
        # 2 dense epochs and 4 of fine-tuning, of 18 steps each.
        steps, accuracies = zip(*run["metrics"]["val/accuracy"], strict=True)
        assert steps == tuple(18 * epoch - 1 for epoch in range(1, 7))
        assert {int(epoch) for _, epoch in run["metrics"]["epoch"]} == set(range(6))
        (dense,) = swept.parent.glob("dense/*/metrics.csv")
        in_cache = [float(row["val_accuracy"]) for row in read_csv(dense)]
        assert accuracies[:2] == pytest.approx(in_cache)


def test_metrics_of_a_run_are_those_of_its_record(swept):
    for folder, run in tracked(swept).items():
        last = {name: values[-1][1] for name, values in run["metrics"].items()}
        saved = record(folder)
        dense, pruned = (accuracy for _, accuracy in run["metrics"]["test/accuracy"])

        assert pruned == pytest.approx(saved["test"]["accuracy"])
        before = saved["dense"]
        assert dense == pytest.approx(before["test_correct"] / before["test_images"])
        cost = saved["cost"]
        assert last["sparsity/nominal"] == pytest.approx(1 - cost["nnz"] / cost["weights"])
        assert last["sparsity/live"] == pytest.approx(1 - cost["live_nnz"] / cost["live"])
        assert last["macs"] == pytest.approx(cost["macs_live"])
        assert len(run["metrics"]["prune/drop"]) == len(saved["events"])
        for (_, drop), event in zip(run["metrics"]["prune/drop"], saved["events"], strict=True):
            assert drop == pytest.approx(event["before"] - event["after"])
        assert min(rate for _, rate in run["metrics"]["lr"]) > 0


def test_a_run_goes_on_in_the_trackers_run_if_it_is_resumed_and_only_then(server, tmp_path):
    short = ("recipe.dense.epochs=1", "recipe.finetune.epochs=1", "schedule=one_shot")
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    for words in ((), (), ("force=true",), (f"hydra.run.dir={elsewhere}",)):
        done = server.train(tmp_path, *SMALL, *TRACKER, *short, *words)
        assert done.returncode == 0, done.stderr
        # Without its record a run is not finished, and the next one resumes it.
        (run / "run.json").unlink(missing_ok=True)
    first, resumed, afresh = (
        json.loads((run / f"tracked-{number}.json").read_text())["id"] for number in range(3)
    )
    (other,) = (content["id"] for content in tracked(elsewhere).values())

    assert first == resumed
    assert len({first, afresh, other}) == 3


def test_a_run_that_fails_is_closed_too(server, tmp_path):
    done = server.train(tmp_path, *SMALL, *TRACKER, "recipe.dense.learning_rate.peak=1e30")

    assert done.returncode == 1
    (run,) = tracked(tmp_path).values()
    assert run["exit_code"] == 1


@pytest.mark.long
def test_a_tracker_that_cannot_be_closed_loses_no_training(server, tmp_path):
    done = server.train(
        tmp_path, *SMALL, "logger=wandb", "logger.wandb._target_=tests.system.tracker.Stubborn"
    )

    assert record(tmp_path / "run")["test"]
    assert "warning: Stubborn: its run cannot be closed (no network today)" in done.stderr


@pytest.mark.long
def test_several_trackers_are_told_of_one_run(server, tmp_path):
    loggers = ("logger=[tensorboard,wandb]", TRACKER[1])
    done = server.train(tmp_path, *SMALL, *loggers)

    assert done.returncode == 0, done.stderr
    (log,) = (tmp_path / "run").rglob("hparams.yaml")
    assert "seed: 0" in log.read_text()
    events = EventAccumulator(str(log.parent)).Reload()
    names = {"test/accuracy", "sparsity/live", "prune/drop", "lr", "macs", "val/accuracy"}
    assert names <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Scalars("val/accuracy")] == [
        18 * epoch - 1 for epoch in range(1, 7)
    ]
    (run,) = tracked(tmp_path).values()
    assert run["group"] is None


@pytest.mark.long
@pytest.mark.parametrize("sweeper", ["basic", "search"])
def test_a_sweep_that_types_no_values_is_a_group_too(server, tmp_path, sweeper):
    if sweeper == "search" and find_spec("optuna") is None:
        pytest.skip("pip install '.[search]' adds Optuna")
    (tmp_path / "hydra" / "sweeper").mkdir(parents=True)
    (tmp_path / "hydra" / "sweeper" / "space.yaml").write_text(
        "defaults: [search, _self_]\nn_trials: 2\nparams: {pruner.scope: 'choice(global,local)'}\n"
    )
    search = (f"--config-dir={tmp_path}", "hydra/sweeper=space")
    words = ("-m", *TRACKER, *(search if sweeper == "search" else ()))
    done = server.train(tmp_path, *SMALL, *words, f"hydra.sweep.dir={tmp_path / 'sweep'}")

    assert done.returncode == 0, done.stderr
    groups = [run["group"] for run in tracked(tmp_path).values()]
    assert groups == ["sweep"] * (2 if sweeper == "search" else 1)


def sweep_with_a_resumed_run(folder, logger):
    """Runs two jobs, and one of them again from its last checkpoint; returns their folders."""
    sweep = folder / "sweep"
    words = (*SMALL, "-m", f"logger={logger}", "pruner=global,local", f"hydra.sweep.dir={sweep}")
    for _ in range(2):
        done = train(folder, *words)
        assert done.returncode == 0, done.stderr
        (stopped,) = sweep.glob("*local*")
        (stopped / "run.json").unlink()
    return sorted(file.parent for file in sweep.glob("*/config.yaml"))


def wandb_records(file):
    """The records of a .wandb file: a LevelDB log, in blocks of 32 KB after a header."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, content = file.read_bytes(), 7, b""
    while position + 7 <= len(data):
        left = 2**15 - position % 2**15
        if left < 7:
            position += left
            continue
        length, kind = (
            int.from_bytes(data[position + 4 : position + 6], "little"),
            data[position + 6],
        )
        content += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # Whole, or the last part.
            yield Record.FromString(content)
            content = b""


@pytest.mark.long
@pytest.mark.skipif(find_spec("wandb") is None, reason="pip install '.[wandb]' adds W&B")
def test_wandb_has_one_run_a_run_which_a_resumed_one_goes_on_in(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    ids = {}
    for folder in sweep_with_a_resumed_run(tmp_path, "wandb"):
        for file in folder.glob("wandb/offline-run-*/*.wandb"):
            records = list(wandb_records(file))
            (run,) = {r.run.run_id: r.run for r in records if r.HasField("run")}.values()
            assert (run.display_name, run.run_group) == (folder.name, "sweep")
            assert {"seed", "schedule"} <= {i.key for r in records for i in r.config.update}
            assert [r.exit.exit_code for r in records if r.HasField("exit")] == [0]
            ids.setdefault(folder, []).append(run.run_id)
    assert sorted(map(len, ids.values())) == [1, 2]
    assert [len(set(of_run)) for of_run in ids.values()] == [1, 1]


@pytest.mark.long
@pytest.mark.skipif(find_spec("mlflow") is None, reason="pip install '.[mlflow]' adds MLflow")
def test_mlflow_has_one_run_a_run_which_a_resumed_one_goes_on_in(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow/runs.db")
    names = [folder.name for folder in sweep_with_a_resumed_run(tmp_path, "mlflow")]
    store = sqlite3.connect(tmp_path / "mlflow" / "runs.db")

    runs = store.execute("select name, status, run_uuid from runs order by name").fetchall()
    assert [run[:2] for run in runs] == [(name, "FINISHED") for name in names]
    assert store.execute("select value from tags where key = 'group'").fetchall() == 2 * [
        ("sweep",)
    ]
    for *_, run in runs:
        seed = store.execute("select value from params where run_uuid = ? and key = 'seed'", [run])
        assert seed.fetchall() == [("0",)]
        metric = "select step from metrics where run_uuid = ? and key = 'val/accuracy'"
        steps = [step for (step,) in store.execute(metric, [run])]
        assert len(set(steps)) == len(steps) == 6
