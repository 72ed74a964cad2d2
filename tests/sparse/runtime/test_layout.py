"""Which images of a batch go in lanes, and what that takes by the cost model."""

from math import ceil
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightprune.sparse.codegen.layout_cost import CacheSizes, estimated_seconds
from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.program import ConvStep, Program
from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.runtime import network as runtime
from tests.sparse.programs import expected, images_for, network_of, programs, random_integers

COUNTS = (1, 2, 7, 16, 33, 3 * LANES - 1)


def minibatches_of(network, count):
    """(images a vector, images, minibatches, threads) of everything that a call runs."""
    runs = []

    def run(workspace, images, outputs, count, minibatches, threads):
        size = workspace._executable.images_per_vector
        runs.append((size, count, minibatches or 1, threads if minibatches else 0))

    with mock.patch.object(runtime.Workspace, "run", run):
        network(torch.zeros(count, *network.program.shapes[INPUT]))
    return runs


def pointwise(*size, channels=24):
    """A convolution of 1x1 with one weight an output."""
    weight = np.zeros((channels, channels, 1, 1), np.float32)
    weight[:, 0] = random_integers(np.random.default_rng(0), channels, 1, 1)
    step = ConvStep("out", (INPUT,), weight, np.zeros(channels, np.float32), layers=("out",))
    shapes = {INPUT: (channels, *size), "out": (channels, *size)}
    return Program((step,), shapes, "out", flat=False)


@settings(max_examples=5)
@given(programs(), st.sampled_from(COUNTS), st.integers(0, 2**16))
def test_no_batch_takes_longer_than_its_images_one_by_one(program, count, cache):
    caches = CacheSizes(cache, 4 * cache)
    network = network_of(program, min_images_in_lanes=None)

    with mock.patch.object(runtime, "cache_sizes", return_value=caches):
        runs = minibatches_of(network, count)

    assert sum(images for _, images, _, _ in runs) == count
    assert all(ceil(images / size) == minibatches for size, images, minibatches, _ in runs)
    one = estimated_seconds(network.single, caches)
    seconds = {1: one, LANES: estimated_seconds(network.batched, caches)}
    total = sum(minibatches * seconds[size] for size, _, minibatches, _ in runs)
    assert total <= count * one * (1 + 1e-9)
    if count >= LANES and seconds[LANES] <= LANES * one:
        assert runs[0][0] == LANES


@pytest.mark.parametrize(("cache", "size"), [(2**30, LANES), (2**10, 1)])
def test_images_go_in_lanes_where_the_caches_hold_them(cache, size):
    # A little more than whole vectors: single images compute a vector for the rest.
    program = pointwise(2, LANES // 2 + 1)
    network = network_of(program, min_images_in_lanes=None)

    with mock.patch.object(runtime, "cache_sizes", return_value=CacheSizes(cache, cache)):
        runs = minibatches_of(network, LANES)

    assert [minibatch for minibatch, *_ in runs] == [size]
    images = images_for(program, LANES)
    assert torch.equal(network(images).double(), expected(program, images))


def test_images_too_large_for_lanes_go_one_by_one():
    network = network_of(pointwise(182, 182, channels=1024), min_images_in_lanes=None)

    assert network.min_images_in_lanes > LANES


@pytest.mark.parametrize(
    ("count", "threads", "runs"),
    [
        (3, 2, [(1, 2, 2, 2), (1, 1, 1, 0)]),
        (3, 4, [(1, 3, 3, 4)]),
        (2, 4, [(1, 1, 1, 0), (1, 1, 1, 0)]),
        (LANES + 1, 2, [(LANES, LANES, 1, 0), (1, 1, 1, 0)]),
        (
            3 * LANES + 5,
            2,
            [(LANES, 2 * LANES, 2, 2), (LANES, LANES, 1, 0), (1, 4, 4, 2), (1, 1, 1, 0)],
        ),
        (3 * LANES + 6, 2, [(LANES, 3 * LANES + 6, 4, 2)]),
    ],
)
def test_threads_share_what_is_left_over_when_each_has_taken_as_much(count, threads, runs):
    network = network_of(pointwise(2, 2), threads, min_images_in_lanes=6)

    assert minibatches_of(network, count) == runs
