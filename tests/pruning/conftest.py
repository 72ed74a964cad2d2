"""The same examples on every machine, and a run time that other load does not multiply."""

import pytest
import torch
from hypothesis import settings

settings.register_profile("lightprune", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("lightprune")


@pytest.fixture(scope="package", autouse=True)
def one_thread():
    # Threads that wait for each other on busy cores made these small tensors ten times slower.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
