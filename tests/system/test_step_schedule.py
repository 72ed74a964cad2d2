"""`schedule.every_n_steps` from the command line: plan, records, the same result after a kill."""

import pytest

from tests.system.entry import record, shortest, train

GRADUAL = ("schedule=cubic", "schedule.sparsity=0.8", "schedule.every_n_steps=4")


def test_a_single_epoch_is_pruned_gradually(server, tmp_path):
    done = server.train(tmp_path, *shortest(*GRADUAL))
    lines = done.stdout.splitlines()
    events = record(tmp_path / "run")["events"]

    assert done.returncode == 0, done.stderr
    assert [event["step"] for event in events] == [0, 4, 8]
    assert [event["epoch"] for event in events] == [0, 0, 0]
    assert events[-1]["target"] == 0.8
    cost = record(tmp_path / "run")["cost"]
    assert cost["weights"] - cost["nnz"] == events[-1]["pruned"] == round(0.8 * cost["weights"])
    assert sum("step 5-8" in line and f"{events[1]['pruned']:,}" in line for line in lines) == 1
    assert any(line.startswith("pruned before step 9 (epoch 1): ") for line in lines)


def test_the_plan_tells_of_a_gradual_schedule_that_is_none_and_trains_nothing(server, tmp_path):
    done = server.train(tmp_path, *shortest("schedule=cubic", "plan_only=true"))

    assert done.returncode == 0, done.stderr
    assert (
        "one event, which prunes all at once: that is what Cubic has room for in "
        "recipe.finetune.epochs=1; schedule.every_n_steps=N has events within an epoch"
    ) in done.stdout.splitlines()
    assert not (tmp_path / "run").exists()


def test_a_plan_of_many_events_is_cut_in_the_middle(server, tmp_path):
    many = ("schedule=linear", "schedule.every_n_steps=1", "schedule.span=1", "plan_only=true")
    done = server.train(tmp_path, *shortest(*many, "recipe.finetune.epochs=4"))

    assert done.returncode == 0, done.stderr
    assert sum("step " in line and "prune" in line for line in done.stdout.splitlines()) == 18
    assert "54 more" in done.stdout


@pytest.mark.long
def test_two_processes_prune_at_the_same_steps(server, tmp_path):
    alone, both = tmp_path / "alone", tmp_path / "both"
    for folder in (alone, both):
        folder.mkdir()
    assert server.train(alone, *shortest(*GRADUAL, "trainer=cpu")).returncode == 0
    done = train(both, *shortest(*GRADUAL, "trainer=ddp_cpu"))
    first, second = (record(folder / "run")["events"] for folder in (alone, both))

    assert done.returncode == 0, done.stderr
    assert [(e["step"], e["pruned"]) for e in first] == [(e["step"], e["pruned"]) for e in second]
