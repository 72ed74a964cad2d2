"""Sweeps whose jobs run side by side, and sweeps that are stopped, through the real entry point."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.system.entry import ROOT, arguments, environment, record, small, train

pytestmark = pytest.mark.long

PARALLEL = ("-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def start_session(folder, *overrides):
    """Starts train.py as a terminal does: in a group of its own, whose processes bear a mark."""
    return subprocess.Popen(
        [sys.executable, "train.py", *arguments(folder, *overrides)],
        cwd=ROOT,
        env={**environment(), "MARK": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def is_worker(entry, mark):
    """Whether a process of that mark is one that joblib runs jobs in."""
    try:
        command = (entry / "cmdline").read_bytes()
        return b"loky.backend.popen" in command and mark in (entry / "environ").read_bytes()
    except OSError:
        return False


def wait_for(process, text):
    line = next((line for line in process.stdout if text in line), None)
    assert line, process.stderr.read()


def remaining_processes(folder):
    """The processes that bear the folder's mark, a moment after the first of them has ended."""
    mark, processes = f"MARK={folder}\0".encode(), []
    for _ in range(100):
        processes = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (entry / "environ").read_bytes():
                    processes.append((entry / "cmdline").read_bytes())
            except OSError:
                continue
        if not processes:
            break
        time.sleep(0.2)
    return processes


def test_jobs_side_by_side_share_one_dense_training_and_failures_are_listed(tmp_path):
    sweep = (*PARALLEL, *small("pruner=global,local", "schedule.steps=2,9"))
    done = train(tmp_path, *sweep, f"hydra.sweep.dir={tmp_path / 'sweep'}")

    assert done.returncode == 1
    assert done.stdout.count("dense epoch 1/2") == 1
    runs = [record(run.parent) for run in (tmp_path / "sweep").glob("*/run.json")]
    assert sorted(run["config"]["pruner"]["scope"] for run in runs) == ["global", "local"]
    cause = "schedule.steps=9: allowed are at most recipe.finetune.epochs=4"
    assert done.stderr.splitlines()[-3:] == [
        "failed jobs of this sweep: 2",
        f"  pruner=global schedule.steps=9: {cause}",
        f"  pruner=local schedule.steps=9: {cause}",
    ]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "kind",
    [("-m", "trainer=cpu", "seed=0,1"), (*PARALLEL, "trainer=cpu", "seed=0,1")],
    ids=["in turn", "side by side"],
)
def test_ctrl_c_ends_a_sweep_and_leaves_no_process(tmp_path, kind):
    settings = small("pruner=random", "recipe.dense.epochs=0")
    long = ("recipe.finetune.epochs=400", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    sweep = start_session(tmp_path, *kind, *settings, *long)
    wait_for(sweep, "finetune epoch 1/")
    os.killpg(sweep.pid, signal.SIGINT)
    _, complaint = sweep.communicate(timeout=30)

    assert sweep.returncode == 130
    assert remaining_processes(tmp_path) == []
    assert "interrupted: the same command continues" in complaint.splitlines()


def test_a_killed_parallel_sweep_leaves_no_process(tmp_path):
    settings = small("pruner=random", "seed=0,1", "recipe.dense.epochs=0")
    long = ("recipe.finetune.epochs=400", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    sweep = start_session(tmp_path, *PARALLEL, *settings, *long)
    wait_for(sweep, "finetune epoch 1/")
    wait_for(sweep, "finetune epoch 1/")
    sweep.kill()
    sweep.communicate(timeout=30)

    assert remaining_processes(tmp_path) == []


def test_a_killed_worker_ends_the_sweep_and_the_jobs_that_ran_are_named(tmp_path):
    settings = small("pruner=random", "seed=3,4", "recipe.dense.epochs=0")
    long = ("recipe.finetune.epochs=400", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    sweep = start_session(tmp_path, *PARALLEL, *settings, *long)
    for _ in range(2):
        wait_for(sweep, "finetune epoch 1/")
    worker, _ = [
        int(entry.name)
        for entry in Path("/proc").glob("[0-9]*")
        if is_worker(entry, f"MARK={tmp_path}\0".encode())
    ]
    os.kill(worker, signal.SIGKILL)
    _, complaint = sweep.communicate(timeout=60)

    assert sweep.returncode == 1
    line = complaint.splitlines()[-1]
    assert line.startswith("error: seed=3; seed=4: the process of one of these jobs was killed")
    assert "SIGKILL(-9)" in line
    assert "the same command continues" in line
    assert remaining_processes(tmp_path) == []


def test_a_killed_dense_training_is_taken_over_by_the_job_that_waits_for_it(tmp_path):
    holder = start_session(tmp_path, *small("pruner=random", "recipe.dense.epochs=4"))
    wait_for(holder, "dense epoch 2/4")
    holder.send_signal(signal.SIGSTOP)
    other = start_session(
        tmp_path,
        *small("pruner=global", "recipe.dense.epochs=4"),
        f"hydra.run.dir={tmp_path / 'other'}",
    )
    wait_for(other, "waiting for another job, which trains the same dense network")
    holder.kill()
    holder.communicate()
    shown, complaint = other.communicate(timeout=60)

    assert other.returncode == 0, complaint
    assert "dense epoch 1/4" not in shown
    assert "dense epoch 4/4" in shown
    assert record(tmp_path / "other")["test"]["images"] == 397
