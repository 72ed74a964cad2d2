"""`schedule=until` from the command line: the longest course, and a result that fits the drop."""

import pytest

from lightprune.files import read_csv
from lightprune.runs.record import RunRecord
from tests.system.entry import record, small, train

UNTIL = ("schedule=until", "schedule.drop=5", "schedule.step=0.5", "schedule.sparsity=0.9999")


def test_a_run_ends_with_the_last_state_within_the_drop(server, tmp_path):
    done = server.train(tmp_path, *small(*UNTIL, "recipe.dense.epochs=4"))
    lines = done.stdout.splitlines()

    assert done.returncode == 0, done.stderr
    events, cost = record(tmp_path / "run")["events"], record(tmp_path / "run")["cost"]
    assert any(
        line.startswith("the longest course: pruning ends before it where") for line in lines
    )
    assert sum(line.split()[1:2] == ["prune"] for line in lines if line[0].isdigit()) == 4
    assert len(events) < 4
    assert all(events[0]["before"] - event["recovered"] <= 0.05 for event in events)
    assert cost["weights"] - cost["nnz"] == events[-1]["pruned"]
    assert record(tmp_path / "run")["best_epoch"] == len(events) - 1

    trained = record(tmp_path / "run")["epochs_trained"]
    assert trained == len(read_csv(tmp_path / "run" / "metrics.csv")) == len(events) + 1
    assert f" {trained} more epoch" in done.stdout

    last = RunRecord.from_json((tmp_path / "run" / "run.json").read_bytes()).not_tolerated
    assert last.target == 1 - 0.5 ** (len(events) + 1)
    assert events[0]["before"] - last.recovered > 0.05
    assert any(f"the event to sparsity {last.sparsity:.2%}: the validation" in x for x in lines)


@pytest.mark.long
def test_two_processes_judge_by_the_accuracy_over_both(tmp_path):
    done = train(tmp_path, *small(*UNTIL, "recipe.dense.epochs=4", "trainer=ddp_cpu"))
    assert done.returncode == 0, done.stderr
    found = RunRecord.from_json((tmp_path / "run" / "run.json").read_bytes())
    drops = [found.events[0].before - event.recovered for event in found.events]

    assert all(drop <= 0.05 for drop in drops)
    assert found.not_tolerated
    assert found.events[0].before - found.not_tolerated.recovered > 0.05
    assert found.epochs_trained == len(drops) + 1
