"""Calls of a network from several threads, and with several."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.runtime import network as runtime
from lightprune.sparse.runtime.thread_pool import wake_workers
from tests.sparse.programs import (
    images_for,
    network_of,
    residual_program,
)


@pytest.fixture
def busy_core():
    """Another thread that never sleeps."""
    stop = threading.Event()

    def burn():
        matrix = torch.randn(200, 200)
        while not stop.is_set():
            matrix @ matrix

    thread = threading.Thread(target=burn)
    thread.start()
    yield
    stop.set()
    thread.join()


def test_many_threads_may_call_several_networks_at_once(many_chunks, busy_core):
    program = residual_program()
    networks = [network_of(program, threads) for threads in (1, 2, 3)]
    batches = [images_for(program, count, count) for count in (1, 2, LANES, 40)]
    expected = [networks[0](images) for images in batches]

    def calls(seed):
        order = np.random.default_rng(seed).integers(0, 12, 25)
        return all(
            torch.equal(networks[n % 3](batches[n // 3]), expected[n // 3]) for n in order.tolist()
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(calls, range(8)))


def test_several_threads_may_make_the_first_call():
    program = residual_program()
    images = images_for(program, 2)
    expected = network_of(program)(images)

    for _ in range(5):
        network = network_of(program, 2)
        with ThreadPoolExecutor(4) as pool:
            assert all(torch.equal(got, expected) for got in pool.map(network, [images] * 8))


def test_more_threads_than_cores_may_work(many_chunks):
    program = residual_program()
    images = images_for(program, 40)

    assert torch.equal(network_of(program, 9)(images), network_of(program, 1)(images))


def test_sleeping_threads_are_woken(many_chunks):
    program = residual_program()
    network, images = network_of(program, 3), images_for(program, 3)
    expected = network(images)

    for _ in range(4):
        time.sleep(0.05)
        assert torch.equal(network(images), expected)


@pytest.mark.parametrize(("threads", "expected"), [(None, 3), (0, 3), (1, 1), (2, 2)])
def test_without_a_number_of_threads_a_network_follows_torch(threads, expected, monkeypatch):
    program, requested = residual_program(), []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(
        runtime, "wake_workers", lambda others: requested.append(others) or wake_workers(others)
    )

    images = images_for(program, 1)
    outputs = network_of(program, threads)(images)

    assert requested == [expected - 1]
    assert torch.equal(outputs, network_of(program, 1)(images))
