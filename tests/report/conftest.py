"""Real tiny runs, and runs written by hand."""

import shutil

import pytest

from lightprune.report.discovery import find_runs
from tests.system.entry import small

CELLS = (
    "reference_control,reference_global_90_one_shot,reference_local_94_one_shot,"
    "reference_global_98_multi_step"
)


@pytest.fixture(scope="session")
def real(server, tmp_path_factory):
    """A sweep of four cells on the digits, and beside it a run that did not finish."""
    folder = tmp_path_factory.mktemp("study")
    sweep = folder / "sweep"
    asked = small(f"experiment={CELLS}", "seed=0", f"hydra.sweep.dir={sweep}")
    done = server.train(folder, "-m", *asked)
    assert done.returncode == 0, done.stderr
    stopped = sweep / "stopped"
    stopped.mkdir()
    finished = next(sweep.glob("*control*"))
    shutil.copy(finished / "config.yaml", stopped)
    return folder


@pytest.fixture(scope="session")
def study(real):
    return find_runs(real / "sweep", real / "dense")
