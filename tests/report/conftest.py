"""The runs of a real sweep, as a report reads them."""

import pytest

from lightprune.report.discovery import find_runs


@pytest.fixture(scope="session")
def collection(finished_sweep):
    return find_runs(finished_sweep / "sweep", finished_sweep / "dense")
