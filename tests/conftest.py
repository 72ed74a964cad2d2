"""The same examples and random numbers on every machine, one thread, one server of processes."""

import os
import shutil
from fcntl import LOCK_EX, flock

import pytest
import torch
from hypothesis import settings

from lightprune.garbage_collector import paused_collector
from tests.system.entry import Server, small

EXPERIMENTS = (
    "reference_control,reference_global_90_one_shot,reference_local_94_one_shot,"
    "reference_global_98_multi_step"
)

settings.register_profile("lightprune", deadline=None, derandomize=True, max_examples=20)
settings.load_profile("lightprune")
# Threads that wait for each other on busy cores make small tensors ten times slower.
torch.set_num_threads(1)


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    with paused_collector():
        return (yield)


@pytest.fixture(autouse=True)
def _same_random_numbers():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def server():
    """Runs train.py; see tests/system/server.py."""
    with Server() as running:
        yield running


@pytest.fixture(scope="session")
def finished_sweep(request, tmp_path_factory):
    """A sweep of four configurations on the digits, and beside it a run that did not finish.

    The first worker that needs it makes it, the others wait; each has a copy.
    """
    folder = tmp_path_factory.mktemp("finished")
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return make_finished_sweep(request, folder)
    shared = tmp_path_factory.getbasetemp().parent / "finished"
    with open(f"{shared}.lock", "w") as lock:
        flock(lock, LOCK_EX)
        if not shared.exists():
            make_finished_sweep(request, tmp_path_factory.mktemp("made")).rename(shared)
    return shutil.copytree(shared, folder, dirs_exist_ok=True)


def make_finished_sweep(request, folder):
    server, sweep = request.getfixturevalue("server"), folder / "sweep"
    overrides = small(f"experiment={EXPERIMENTS}", "seed=0", f"hydra.sweep.dir={sweep}")
    done = server.train(folder, "-m", *overrides)
    assert done.returncode == 0, done.stderr
    stopped = sweep / "stopped"
    stopped.mkdir()
    finished = next(sweep.glob("*control*"))
    shutil.copy(finished / "config.yaml", stopped)
    return folder
