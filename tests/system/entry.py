"""Runs the real entry point in a process of its own, with everything it writes in one folder."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# ResNet18's kinds of layers in a size that trains in a second.
TINY = "model.constructor._target_=tests.system.tiny.tiny_resnet"


def arguments(folder, *overrides):
    """The command line of a run that writes everything below `folder`, its results in `run`."""
    folders = [f"dense.cache_dir={folder / 'dense'}", f"data.cache_dir={folder / 'data'}"]
    if "-m" not in overrides:
        folders.append(f"hydra.run.dir={folder / 'run'}")
    options = [o for o in overrides if o.startswith("-")]
    return [*options, *folders, *(o for o in overrides if o not in options)]


def environment():
    plain = {"OMP_NUM_THREADS": "1", "COLUMNS": "200", "CUDA_VISIBLE_DEVICES": ""}
    return {**os.environ, **plain}


def start(folder, *overrides):
    """Starts train.py and gives its standard output as it comes."""
    return subprocess.Popen(
        [sys.executable, "train.py", *arguments(folder, *overrides)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def train(folder, *overrides, timeout=180):
    """Runs train.py to its end."""
    return subprocess.run(
        [sys.executable, "train.py", *arguments(folder, *overrides)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Server:
    """Runs train.py in forks of one process (see server.py): the same, seconds faster."""

    def __init__(self, **variables):
        self.environment = {**environment(), **variables}

    def __enter__(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.system.server"],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(10)

    def train(self, folder, *overrides, **variables):
        """Runs train.py to its end; `variables` are those of its environment alone."""
        return self.run("train.py", ROOT, folder, arguments(folder, *overrides), **variables)

    def run(self, program, place, folder, words, **variables):
        """Runs train.py or the `lightprune` command in a place; its output goes to `folder`."""
        out, err = folder / "stdout", folder / "stderr"
        request = {"program": program, "folder": str(place), "argv": words}
        request |= {"out": str(out), "err": str(err), "environment": variables}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        status = int(self.process.stdout.readline())
        return subprocess.CompletedProcess(
            request["argv"], status, out.read_text(), err.read_text()
        )


def record(folder):
    return json.loads((folder / "run.json").read_text())


def small(*overrides):
    """Settings of a run on the digits that takes seconds."""
    return ("data=digits", "recipe=smoke", TINY, "logger=none", *overrides)


def shortest(*overrides):
    """The same with one epoch a phase, for tests of how a run starts."""
    return small(
        "recipe.dense.epochs=1", "recipe.finetune.epochs=1", "schedule=one_shot", *overrides
    )
