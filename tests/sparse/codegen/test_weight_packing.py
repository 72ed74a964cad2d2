from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightprune.errors import InputError
from lightprune.sparse.codegen.assembler import compile_program
from lightprune.sparse.codegen.memory_plan import plan_memory
from lightprune.sparse.codegen.weight_packing import (
    _CACHE_LINE,
    _L1_BUDGET,
    choose_kernel,
    pack_weights,
)
from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.program import ConvStep, PoolStep, Program
from lightprune.sparse.isa.register_blocks import (
    CHANNEL_BLOCKS,
    LANES,
    NARROW_LANES,
    REGISTER_BLOCKS,
    SINGLE_IMAGE_BLOCKS,
    SMALL_MAP_BLOCKS,
    ChannelBlock,
)
from tests.sparse.programs import convolution_programs

# Images at a time, and a grouping that serves so many.
GROUPED = st.one_of(
    st.tuples(st.just(1), st.sampled_from([*SINGLE_IMAGE_BLOCKS, *SMALL_MAP_BLOCKS])),
    st.tuples(st.just(LANES), st.sampled_from(CHANNEL_BLOCKS)),
)


def found_for(step, layout, grouping):
    return pack_weights(step, layout, choose_kernel(step, layout, [grouping]))


def in_one_group(step):
    """The weight (O, C, taps) with zeros between the groups."""
    outputs, inputs, *kernel = step.weight.shape
    whole = np.zeros((outputs, inputs * step.groups, kernel[0] * kernel[1]), np.float32)
    for channel in range(outputs):
        first = channel // (outputs // step.groups) * inputs
        whole[channel, first : first + inputs] = step.weight[channel].reshape(inputs, -1)
    return whole


def entries(found):
    """(output channel, offset, weight) of every stored weight, in the order of computation."""
    size = found.grouping.channels
    for number in range(found.cut.counts.size):
        for place in range(found.segments[number], found.segments[number + 1]):
            for member in range(size):
                offset = found.offsets[place, 0 if found.grouping.shared else member]
                weight = found.weights[place, member]
                yield found.cut.order[number % found.cut.groups * size + member], offset, weight


@settings(max_examples=40)
@given(convolution_programs(), GROUPED)
def test_what_is_stored_is_the_weight_in_its_order(program, grouped):
    unit, grouping = grouped
    layout = plan_memory(program, unit)
    step = program.steps[-1]
    found = found_for(step, layout, grouping)
    apart, taps = layout.taps(step)
    weight = in_one_group(step)

    stored = [entry for entry in entries(found) if entry[2] != 0]

    for output, row in enumerate(weight):
        channel, tap = np.nonzero(row)
        mine = [entry[1:] for entry in stored if entry[0] == output]
        offsets = 4 * (channel * apart + taps[tap])
        assert mine == list(zip(offsets, row[channel, tap], strict=True))
    assert len(stored) == np.count_nonzero(weight)


@settings(max_examples=40)
@given(convolution_programs(), GROUPED)
def test_positions_are_as_many_as_their_grouping_needs(program, grouped):
    unit, grouping = grouped
    step = program.steps[-1]
    found = found_for(step, plan_memory(program, unit), grouping)
    inputs = step.weight.shape[1] * step.groups

    assert found.segments[0] == 0
    assert found.segments[-1] == len(found.offsets) == len(found.weights)
    assert (np.diff(found.segments) >= 0).all()
    assert found.cut.groups == -(-len(step.weight) // grouping.channels)
    assert 1 <= len(found.cut.counts) <= inputs
    if grouping.channels == 1:
        assert len(found.weights) == np.count_nonzero(step.weight)
    assert len(found.cut.group_seconds) == found.cut.groups
    assert (found.cut.group_seconds >= 0).all()


@settings(max_examples=40)
@given(convolution_programs(), GROUPED)
def test_channels_of_like_lengths_share_a_group_where_they_may_be_out_of_order(program, grouped):
    unit, grouping = grouped
    layout = plan_memory(program, unit)
    step = program.steps[-1]

    order = choose_kernel(step, layout, [grouping]).order

    assert sorted(order) == list(
        range(-(-len(step.weight) // grouping.channels) * grouping.channels)
    )
    if grouping.shared or any(layout.values[step.value].margin):
        assert (np.diff(order) == 1).all()
    else:
        lengths = np.zeros(len(order), np.int64)
        lengths[: len(step.weight)] = np.count_nonzero(step.weight, (1, 2, 3))
        assert (np.diff(lengths[order]) >= 0).all()


def layer(weight, side, width=None, padding=0, name="layer"):
    """A convolution that keeps the size of its maps, which are square unless a width is given."""
    outputs, inputs = weight.shape[:2]
    pads = ((padding, padding),) * 2
    step = ConvStep(
        "out", INPUT, weight, np.zeros(outputs), (1, 1), pads, (1, 1), 1, None, False, (name,)
    )
    size = (side, width or side)
    return Program((step,), {INPUT: (inputs, *size), "out": (outputs, *size)}, "out", False)


def test_what_a_pool_follows_is_computed_in_order():
    weight = np.ones((4, 1, 1, 1), np.float32)
    weight[[0, 3]] = 0
    alone = layer(weight, side=4)
    (step,) = alone.steps
    pool = PoolStep("pooled", "out", "max", (2, 2), (2, 2), (0, 0), False)
    shapes = {**alone.shapes, "pooled": (4, 2, 2)}
    followed = Program((step, pool), shapes, "pooled", False)
    pairs = ChannelBlock(2, shared=False)

    assert choose_kernel(step, plan_memory(alone, 1), [pairs]).order.tolist() == [0, 3, 1, 2]
    assert choose_kernel(step, plan_memory(followed, 1), [pairs]).order.tolist() == [0, 1, 2, 3]


def dense_layer(side, unit):
    """A 1x1 convolution of 64 to 64 channels, and where its values lie."""
    program = layer(np.ones((64, 64, 1, 1), np.float32), side)
    return program.steps[0], plan_memory(program, unit)


@pytest.mark.parametrize("other", [ChannelBlock(1, shared=True), ChannelBlock(2, shared=False)])
def test_one_list_for_all_is_cheaper_where_the_weight_is_dense(other):
    # On maps of one position, where it saves most: any machine measures that.
    step, layout = dense_layer(1, LANES)

    together = ChannelBlock(4, shared=True)
    assert choose_kernel(step, layout, [other, together]).grouping == together


@pytest.mark.parametrize(("side", "in_lanes"), [(1, True), (2, True), (12, False)])
def test_channels_are_lanes_where_a_dense_map_is_small(side, in_lanes):
    step, layout = dense_layer(side, 1)

    served = SMALL_MAP_BLOCKS if side**2 <= NARROW_LANES else SINGLE_IMAGE_BLOCKS
    assert choose_kernel(step, layout, served).grouping.in_lanes == in_lanes


def test_inputs_beyond_the_reach_of_an_offset_are_refused():
    program = layer(np.ones((1, 64, 1, 1), np.float32), side=1100, name="big")

    with pytest.raises(InputError, match=r"big: its input of \(64, 1100, 1100\) is too large"):
        found_for(program.steps[0], plan_memory(program, LANES), CHANNEL_BLOCKS[0])


@pytest.mark.parametrize("grouping", CHANNEL_BLOCKS)
@pytest.mark.parametrize(("inputs", "kernel", "side"), [(3, 7, 32), (64, 3, 8), (512, 1, 4)])
def test_what_a_block_reads_in_one_pass_fits_the_first_cache(inputs, kernel, side, grouping):
    program = layer(np.ones((16, inputs, kernel, kernel), np.float32), side, padding=kernel // 2)
    (step,) = program.steps
    layout = plan_memory(program, 1)
    apart, taps = layout.taps(step)

    cut = choose_kernel(step, layout, [grouping])

    width = grouping.stride * REGISTER_BLOCKS[cut.tiles[0].block].columns
    lines = {(int(tap) + place) // _CACHE_LINE for tap in taps for place in range(width)}
    a_channel = min(4 * apart, 4 * _CACHE_LINE * len(lines))
    # Vectors that overlap lines may touch one more of each.
    assert cut.together == 1 or cut.together * a_channel <= 1.4 * _L1_BUDGET
    one_less = len(cut.counts) - 1
    assert not one_less or ceil(inputs / one_less) * a_channel > _L1_BUDGET / 1.4


def sparse_layer(side, width=None):
    """A 3x3 convolution with few weights."""
    weight = np.zeros((64, 64, 3, 3), np.float32)
    weight[np.random.default_rng(0).random(weight.shape) < 0.05] = 1
    return layer(weight, side, width, padding=1)


@pytest.mark.parametrize(("width", "narrow"), [(2, True), (3, False)])
def test_a_map_of_few_positions_takes_narrow_vectors(width, narrow):
    program = sparse_layer(2, width)
    code = compile_program(program, 1)

    (found,) = (op.weights for op in code.operations if op.weights)
    (sorting,) = code.layout.sortings.values()
    value = code.layout.values[sorting.name]
    assert sorting.narrow is narrow
    assert (found.grouping.lanes == NARROW_LANES or found.grouping.in_lanes) is narrow
    assert value.plane == (NARROW_LANES if narrow else LANES)
    assert sorting.planes == 9
    assert sorting.apart * value.plane % LANES == 0
    assert sorting.apart - 9 < LANES // value.plane
    assert not compile_program(program, LANES).layout.sortings


def test_narrow_groupings_compute_in_narrow_vectors_too():
    # Sparse lists, which vectors of channels would fill with zeros: some list is cheapest.
    lists = [g for g in SMALL_MAP_BLOCKS if not g.in_lanes]

    assert {(g.channels, g.shared) for g in lists} == {(1, True), (2, False), (4, False), (4, True)}
    step = sparse_layer(2).steps[0]
    assert choose_kernel(step, plan_memory(sparse_layer(2), 1), SMALL_MAP_BLOCKS).grouping in lists


def test_groupings_are_told_apart_in_words():
    every = dict.fromkeys((*SINGLE_IMAGE_BLOCKS, *SMALL_MAP_BLOCKS))
    words = [str(grouping) for grouping in every]

    assert len(set(words)) == len(words)
    expected = {"1", "4", "4 shared", "1 narrow", "4 narrow", "4 shared narrow"}
    assert {*expected, f"{2 * LANES} in lanes"} < set(words)
