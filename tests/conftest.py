"""The same examples and random numbers on every machine, one thread, one server of processes."""

import pytest
import torch
from hypothesis import settings

from tests.system.entry import Server

settings.register_profile("lightprune", deadline=None, derandomize=True, max_examples=20)
settings.load_profile("lightprune")
# Threads that wait for each other on busy cores make small tensors ten times slower.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _same_random_numbers():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def server():
    """Runs train.py; see tests/system/server.py."""
    with Server() as running:
        yield running
