"""Runs the real entry point in a process of its own, with everything it writes in one folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# ResNet18's kinds of layers in a size that trains in a second.
TINY = "model.constructor._target_=tests.system.tiny.tiny_resnet"


def command(folder, *overrides):
    return [
        *(sys.executable, "train.py", *overrides),
        f"dense.cache_dir={folder / 'dense'}",
        f"data.cache_dir={folder / 'data'}",
    ]


def environment():
    return {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


def train(folder, *overrides, timeout=180):
    """Runs train.py; `hydra.run.dir` is `folder/run` unless the overrides say otherwise."""
    if "-m" not in overrides and not any("hydra.run.dir" in o for o in overrides):
        overrides = (*overrides, f"hydra.run.dir={folder / 'run'}")
    return subprocess.run(
        command(folder, *overrides),
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def record(folder):
    return json.loads((folder / "run.json").read_text())


def small(*overrides):
    """Settings of a run on the digits that takes seconds."""
    return ("data=digits", "recipe=smoke", TINY, "logger=none", *overrides)
