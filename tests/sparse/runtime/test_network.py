"""The runtime against float64 and against itself.

On a processor with wide registers, this runs it all with the narrow ones of others (the first time
it compiles, in their own cache):

    NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx2,+fma,+avx,+sse4.2,+popcnt,+bmi,+bmi2 \
        pytest -n 0 tests/sparse/runtime/test_network.py
"""

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.program import AddStep, ConvStep, FlattenStep, PoolStep, Program
from lightprune.sparse.isa.register_blocks import (
    CHANNEL_BLOCKS,
    LANES,
    SINGLE_IMAGE_BLOCKS,
    SMALL_MAP_BLOCKS,
    ChannelBlock,
)
from tests.sparse.programs import (
    BATCHES,
    convolution_programs,
    expected,
    images_for,
    network_of,
    poison,
    programs,
    random_integers,
    random_sharing,
    residual_program,
)

THREADS = st.integers(1, 3)
ANY_BLOCK = st.sampled_from([*SINGLE_IMAGE_BLOCKS, *SMALL_MAP_BLOCKS])
GENERATOR = np.random.default_rng(0)


def conv(value, read, weight, padding=0, stride=1, relu=False, residual=None):
    """A square convolution without bias whose windows end at the padding."""
    pads = ((padding, padding), (padding, padding))
    bias = np.zeros(len(weight), np.float32)
    names = (value,)
    inputs = (read, residual) if residual else (read,)
    return ConvStep(value, inputs, weight, bias, (stride,) * 2, pads, relu=relu, layers=names)


@settings(max_examples=60)
@given(convolution_programs(), ANY_BLOCK, THREADS, st.sampled_from(BATCHES))
def test_a_convolution_of_whole_numbers_is_exact(program, channel_block, threads, count):
    images = images_for(program, count)

    outputs = network_of(program, threads, channel_block)(images)

    assert torch.equal(outputs.double(), expected(program, images))


@settings(max_examples=15)
@given(convolution_programs(), THREADS, st.sampled_from(BATCHES))
def test_a_convolution_of_any_numbers_is_as_near_as_float32_is(program, threads, count):
    images = torch.rand_like(images_for(program, count)) - 0.5

    outputs, exact = network_of(program, threads)(images), expected(program, images)

    assert (outputs - exact).abs().max() <= 1e-5 * exact.abs().max().clamp(min=1)


@settings(max_examples=40)
@given(convolution_programs(most=4, channels=150), THREADS, st.booleans())
def test_channels_in_the_lanes_compute_the_same_bits(program, threads, whole):
    images = images_for(program, 3)
    if not whole:
        images = torch.randn(images.shape)
    pixels_in_lanes = network_of(program, 1, CHANNEL_BLOCKS[0])(images)

    for channel_block in SINGLE_IMAGE_BLOCKS:
        if channel_block.channel_lanes:
            network = network_of(program, threads, channel_block)
            first = network(images)
            poison(network)
            np.testing.assert_array_equal(bits(first + 0.0), bits(pixels_in_lanes + 0.0))
            assert torch.equal(network(images), first)
    if whole:
        assert torch.equal(pixels_in_lanes.double(), expected(program, images))


def flattened_and_padded():
    """Padding around values that a flattening computed."""
    last = conv("out", "flat", random_integers(GENERATOR, 3, 12, 3, 3), padding=2)
    shapes = {INPUT: (3, 2, 2), "flat": (12, 1, 1), "out": (3, 3, 3)}
    return Program((FlattenStep("flat", (INPUT,)), last), shapes, "out", flat=False)


@settings(max_examples=60)
@given(programs(), THREADS, st.sampled_from(BATCHES))
@example(flattened_and_padded(), 1, LANES)
def test_a_program_computes_what_its_steps_say_whatever_the_memory_held(program, threads, count):
    images = images_for(program, count)
    exact = expected(program, images)
    network = network_of(program, threads)

    outputs = network(images)
    poison(network)

    assert outputs.shape == exact.shape
    assert (outputs - exact).abs().max() <= 1e-6 * exact.abs().max().clamp(min=1)
    assert torch.equal(network(images), outputs)


def bits(outputs):
    return outputs.numpy().view(np.uint32)


@settings(max_examples=15)
@given(convolution_programs(), ANY_BLOCK, THREADS)
def test_no_bit_depends_on_the_batch_the_threads_or_the_channel_block(
    program, channel_block, threads
):
    images = torch.randn(images_for(program, LANES + 2).shape)
    single, grouped = network_of(program), network_of(program, threads, channel_block)
    # Where nothing but zeros is added up, one channel_block may leave 0 and another -0.
    alone = torch.cat([single(image[None]) for image in images]) + 0.0

    for count in (1, LANES - 1, LANES + 2):
        np.testing.assert_array_equal(bits(grouped(images[:count]) + 0.0), bits(alone[:count]))


@settings(max_examples=15)
@given(programs(), THREADS, st.integers(0, 99), st.integers(1, LANES + 1))
def test_no_bit_of_several_steps_depends_on_the_batch_or_the_threads(
    program, threads, seed, min_images_in_lanes
):
    images = torch.randn(images_for(program, LANES + 2).shape)
    single = network_of(program)
    network = network_of(program, threads, min_images_in_lanes=min_images_in_lanes)
    alone = torch.cat([single(image[None]) for image in images]) + 0.0

    with random_sharing(seed):
        for count in (1, LANES - 1, LANES + 2):
            outputs = network(images[:count])
            poison(network)
            np.testing.assert_array_equal(bits(outputs + 0.0), bits(alone[:count]))
            assert torch.equal(network(images[:count]), outputs)


@pytest.mark.parametrize("counts", [(1, 5), (5, 1)])
def test_threads_on_one_image_have_memory_of_their_own_and_some_together(many_chunks, counts):
    program = residual_program()
    network = network_of(program, 3)
    for count in counts:
        network(images_for(program, count))

    (workspace,) = network._idle[1]
    assert len(workspace.memory) >= 4 * network.single.arena_size


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("count", [1, LANES])
def test_a_pool_follows_channels_of_unequal_lengths(many_chunks, channels, count):
    weight = random_integers(GENERATOR, 24, 6, 3, 3)
    # Channels of like lengths are far apart: out of order, a pool would follow others.
    kept = np.resize([0.9, 0.05, 0.5], 24)[:, None, None, None]
    weight[GENERATOR.random(weight.shape) > kept] = 0
    steps = (
        conv("a", INPUT, weight, padding=1, relu=True),
        PoolStep("out", ("a",), "max", (2, 2), (2, 2), (0, 0), False),
    )
    shapes = {INPUT: (6, 8, 8), "a": (24, 8, 8), "out": (24, 4, 4)}
    program = Program(steps, shapes, "out", flat=False)
    images = images_for(program, count)
    network = network_of(program, 2, ChannelBlock(channels, shared=False))

    for _ in range(50):
        assert torch.equal(network(images).double(), expected(program, images))
        poison(network)


@pytest.mark.parametrize("count", [1, 3, LANES, 40])
@pytest.mark.parametrize("threads", [2, 3])
def test_repeated_runs_are_identical(many_chunks, threads, count):
    program = residual_program()
    images = images_for(program, count)
    network = network_of(program, threads)
    first = network_of(program)(images)

    for run in range(200):
        poison(network)
        assert torch.equal(network(images), first), run


@pytest.mark.parametrize("count", [3, LANES + 1])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_its_image_and_comes_out_where_torch_has_it(value, count):
    program = residual_program(density=1.0)
    images = images_for(program, count)
    finite = network_of(program)(images)
    images[1, 2, 3, 4] = value

    outputs, exact = network_of(program, 2)(images), expected(program, images)

    assert torch.equal(outputs.isnan(), exact.isnan())
    others = torch.arange(count) != 1
    assert torch.equal(outputs[others], finite[others])


@settings(max_examples=15)
@given(convolution_programs(), ANY_BLOCK, st.sampled_from([1, LANES]))
def test_an_output_without_a_weight_on_what_is_not_finite_may_stay_finite(
    program, channel_block, count
):
    # In torch a weight of zero times infinity is NaN; here that depends on whether the kernel
    # has a zero there at all. So every NaN that comes out is one of torch's, but not the other way
    # round; convolutions in groups, which are computed as one, may see infinity in other groups.
    assume(all(step.groups == 1 for step in program.steps))
    images = images_for(program, count)
    images[0, 0, 0, 0] = np.inf

    outputs = network_of(program, 1, channel_block)(images)
    dense = expected(program, images)

    assert not (outputs.isnan() & ~dense.isnan()).any()
    assert torch.equal(outputs[1:].double(), dense[1:])


@pytest.mark.parametrize("count", [1, LANES])
def test_two_convolutions_of_one_value_may_differ_in_all_but_that(count):
    wide, narrow = random_integers(GENERATOR, 4, 3, 3, 3), random_integers(GENERATOR, 4, 3, 1, 1)
    steps = (
        conv("a", INPUT, wide, padding=1, stride=2),
        conv("b", INPUT, narrow, stride=2, residual="a"),
        conv("c", INPUT, wide, padding=1, relu=True),
        PoolStep("d", ("c",), "max", (3, 3), (2, 2), (1, 1), False),
        AddStep("e", ("b", "d"), None, True),
        conv("out", "e", random_integers(GENERATOR, 2, 4, 4, 5), padding=4, stride=3),
    )
    half, third = (4, 5, 6), (2, 4, 4)
    shapes = {INPUT: (3, 9, 11), "a": half, "b": half, "c": (4, 9, 11), "d": half, "e": half}
    program = Program(steps, {**shapes, "out": third}, "out", flat=False)
    images = images_for(program, count)

    for threads in (1, 2):
        outputs = network_of(program, threads)(images)
        assert torch.equal(outputs.double(), expected(program, images))
