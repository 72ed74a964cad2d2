"""A real finished run, as short as can be, and what is read of it."""

import shutil

import pytest

from lightprune.sensitivity.calibration_data import SampleSize
from lightprune.sensitivity.loaded_run import NetworkChoice, load_run
from tests.system.entry import shortest
from tests.system.tiny import tiny_resnet

OWN = ("--constructor", "tests.system.tiny.tiny_resnet")


@pytest.fixture(scope="session")
def run(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    done = server.train(folder, *shortest("schedule.sparsity=0.8"))
    assert done.returncode == 0, done.stderr
    return folder / "run"


def quiet(said):
    """Says nothing."""


@pytest.fixture
def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "run")


@pytest.fixture
def loaded(run):
    return load_run(run, NetworkChoice(constructor=tiny_resnet), SampleSize(images=60, batches=2))
