"""Sweeps on a cluster: the SLURM launcher's config, and jobs that stand-ins for SLURM run."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.system.entry import ROOT, arguments, environment, record, small

pytestmark = pytest.mark.long

# Each stands for the program of its name. Jobs run here, and again when requeued.
STAND_INS = {
    "sbatch": """
cp "$1" "$STAND_IN/submitted"
export SLURM_ARRAY_JOB_ID=77 SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0
export SLURM_LOCALID=0 SLURM_JOB_NODELIST=localhost SLURM_JOB_NAME=lightprune
for task in 0 1; do
  while rm -f "$STAND_IN/77_$task"; do
    SLURM_JOB_ID=$((77 + task)) SLURM_ARRAY_TASK_ID=$task bash "$1"
    [ -e "$STAND_IN/77_$task" ] || break
  done >> "$STAND_IN/log" 2>&1 < /dev/null &
done
echo "Submitted batch job 77"
""",
    "srun": """
while [ "${1#-}" != "$1" ]; do
  case "$1" in --output|--error) shift ;; esac
  shift
done
exec "$@"
""",
    "scontrol": 'touch "$STAND_IN/$2"; echo "$@" >> "$STAND_IN/requests"',
    "sacct": """
echo "JobID|State|NodeList"
for task in 0 1; do echo "77_$task|RUNNING|localhost"; done
""",
}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in STAND_INS.items():
        (programs / name).write_text(f"#!/bin/bash\n{text}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.setenv("STAND_IN", str(tmp_path))
    return tmp_path


def shown(folder):
    """What the jobs have printed."""
    log = folder / "log"
    return log.read_text() if log.exists() else ""


def training_process(folder, task):
    """The process that trains in a job of the array, after its second epoch."""
    marks = [f"STAND_IN={folder}\0".encode(), f"SLURM_ARRAY_TASK_ID={task}\0".encode()]
    for _ in range(600):
        if "finetune epoch 3/" in shown(folder):
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    marked = (entry / "environ").read_bytes()
                    if b"_submit\0" in (entry / "cmdline").read_bytes() and all(
                        mark in marked for mark in marks
                    ):
                        return int(entry.name)
                except OSError:
                    continue
        time.sleep(0.1)
    raise AssertionError(shown(folder))


def test_jobs_continue_after_their_time_limit_and_failures_are_listed(cluster):
    settings = small(
        *("pruner=global", "schedule.steps=2,9"),
        *("recipe.dense.epochs=0", "recipe.finetune.epochs=8"),
    )
    launcher = (
        "hydra/launcher=slurm",
        "hydra.launcher.partition=big",
        "hydra.launcher.timeout_min=90",
    )
    words = arguments(cluster, "-m", *launcher, *settings, f"hydra.sweep.dir={cluster / 'sweep'}")
    sweep = subprocess.Popen(
        [sys.executable, "train.py", *words],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # What SLURM does ahead of the time limit.
    os.kill(training_process(cluster, task=0), signal.SIGUSR2)
    _, complaint = sweep.communicate(timeout=90)

    flags = (cluster / "submitted").read_text().splitlines()
    for flag in ("array=0-1%2", "partition=big", "time=90", "gpus-per-node=1", "signal=USR2@120"):
        assert f"#SBATCH --{flag}" in flags
    assert "#SBATCH --requeue" in flags
    assert (cluster / "requests").read_text() == "requeue 77_0\n"
    for line in ("finetune epoch 1/8", "finetune epoch 2/8", "finetune epoch 8/8"):
        assert shown(cluster).count(line) == 1
    (run,) = (cluster / "sweep").glob("*/run.json")
    assert record(run.parent)["test"]["images"] == 397
    assert record(run.parent)["command"] == shlex.join(["train.py", *words])
    assert sweep.returncode == 1
    assert complaint.splitlines()[-2:] == [
        "failed jobs of this sweep: 1",
        "  schedule.steps=9: schedule.steps=9: allowed are at most recipe.finetune.epochs=8",
    ]
