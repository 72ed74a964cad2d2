from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightprune.sparse.codegen import kernel_choice, tiling
from lightprune.sparse.codegen.assembler import compile_program
from lightprune.sparse.codegen.cost_model import BlockCost
from lightprune.sparse.codegen.kernel_choice import _PASS_BYTES, choose_kernel
from lightprune.sparse.codegen.memory_plan import plan_memory
from lightprune.sparse.ir.program import PoolStep, Program
from lightprune.sparse.isa.register_blocks import (
    CACHE_LINE,
    CHANNEL_BLOCKS,
    LANES,
    NARROW_LANES,
    REGISTER_BLOCKS,
    SINGLE_IMAGE_BLOCKS,
    SMALL_MAP_BLOCKS,
    ChannelBlock,
)
from tests.sparse.programs import convolution_programs, layer

# Images at a time, and a channel block that serves so many.
BLOCKED = st.one_of(
    st.tuples(st.just(1), st.sampled_from([*SINGLE_IMAGE_BLOCKS, *SMALL_MAP_BLOCKS])),
    st.tuples(st.just(LANES), st.sampled_from(CHANNEL_BLOCKS)),
)


@settings(max_examples=40)
@given(convolution_programs(), BLOCKED)
def test_channels_of_like_lengths_share_a_group_where_they_may_be_out_of_order(program, blocked):
    images_per_vector, channel_block = blocked
    plan = plan_memory(program, images_per_vector)
    step = program.steps[-1]

    order = choose_kernel(step, plan, [channel_block]).channel_order

    assert sorted(order) == list(
        range(-(-len(step.weight) // channel_block.channels) * channel_block.channels)
    )
    if channel_block.shared or any(plan.buffers[step.value].halo):
        assert (np.diff(order) == 1).all()
    else:
        lengths = np.zeros(len(order), np.int64)
        lengths[: len(step.weight)] = np.count_nonzero(step.weight, (1, 2, 3))
        assert (np.diff(lengths[order]) >= 0).all()


def test_what_a_pool_follows_is_computed_in_order():
    weight = np.ones((4, 1, 1, 1), np.float32)
    weight[[0, 3]] = 0
    alone = layer(weight, side=4)
    (step,) = alone.steps
    pool = PoolStep("pooled", ("out",), "max", (2, 2), (2, 2), (0, 0), False)
    shapes = {**alone.shapes, "pooled": (4, 2, 2)}
    followed = Program((step, pool), shapes, "pooled", False)
    pairs = ChannelBlock(2, shared=False)

    assert choose_kernel(step, plan_memory(alone, 1), [pairs]).channel_order.tolist() == [
        0,
        3,
        1,
        2,
    ]
    assert choose_kernel(step, plan_memory(followed, 1), [pairs]).channel_order.tolist() == [
        0,
        1,
        2,
        3,
    ]


def dense_layer(side, images_per_vector):
    """A 1x1 convolution of 64 to 64 channels, and where its values lie."""
    program = layer(np.ones((64, 64, 1, 1), np.float32), side)
    return program.steps[0], plan_memory(program, images_per_vector)


@pytest.mark.parametrize("other", [ChannelBlock(1, shared=True), ChannelBlock(2, shared=False)])
def test_one_list_for_all_is_cheaper_where_the_weight_is_dense(other):
    # On maps of one pixel, where it saves most: any machine measures that.
    step, plan = dense_layer(1, LANES)

    together = ChannelBlock(4, shared=True)
    assert choose_kernel(step, plan, [other, together]).channel_block == together


@pytest.mark.parametrize(("side", "channel_lanes"), [(1, True), (2, True), (12, False)])
def test_channels_are_lanes_where_a_dense_map_is_small(side, channel_lanes):
    step, plan = dense_layer(side, 1)

    served = SMALL_MAP_BLOCKS if side**2 <= NARROW_LANES else SINGLE_IMAGE_BLOCKS
    assert choose_kernel(step, plan, served).channel_block.channel_lanes == channel_lanes


@pytest.mark.parametrize("channel_block", CHANNEL_BLOCKS)
@pytest.mark.parametrize(("inputs", "kernel", "side"), [(3, 7, 32), (64, 3, 8), (512, 1, 4)])
def test_what_a_block_reads_in_one_pass_is_bounded(inputs, kernel, side, channel_block):
    program = layer(np.ones((16, inputs, kernel, kernel), np.float32), side, padding=kernel // 2)
    (step,) = program.steps
    plan = plan_memory(program, 1)
    channel_stride, taps = plan.tap_offsets(step)

    choice = choose_kernel(step, plan, [channel_block])

    width = channel_block.pixels_per_vector * REGISTER_BLOCKS[choice.tiles[0].block].columns
    floats_per_line = CACHE_LINE // 4
    lines = {(int(tap) + place) // floats_per_line for tap in taps for place in range(width)}
    a_channel = min(4 * channel_stride, CACHE_LINE * len(lines))
    # Vectors that overlap lines may touch one more of each.
    assert (
        choice.channels_per_pass == 1 or choice.channels_per_pass * a_channel <= 1.4 * _PASS_BYTES
    )
    one_less = len(choice.entries) - 1
    assert not one_less or ceil(inputs / one_less) * a_channel > _PASS_BYTES / 1.4


@pytest.fixture
def wide_tiles_pay(monkeypatch):
    """Whatever the machine measures: the larger a register block, the cheaper its vectors."""
    costs = tuple(BlockCost(1 + block.accumulators, 0.0) for block in REGISTER_BLOCKS)
    for module in (kernel_choice, tiling):
        monkeypatch.setattr(module, "block_costs", lambda alignment: costs)
    monkeypatch.setattr(kernel_choice, "tile", tiling.tile.__wrapped__)


def tile_columns(step, plan):
    choice = choose_kernel(step, plan, [ChannelBlock(1, shared=True)])
    return [REGISTER_BLOCKS[tile.block].columns for tile in choice.tiles]


@pytest.mark.skipif(LANES < 16, reason="no register block is wider than eight vectors")
def test_a_tile_whose_inputs_do_not_fit_the_first_cache_is_narrower(monkeypatch, wide_tiles_pay):
    # A 7x7 kernel reads 35 planes of 22 rows: 48 KB; for half of the map of 16 rows 14: 31 KB.
    program = layer(np.ones((16, 5, 7, 7), np.float32), 16, padding=3)
    (step,) = program.steps
    plan = plan_memory(program, 1)
    near = tile_columns(step, plan)
    monkeypatch.setattr(kernel_choice, "_NEAR_BYTES", 1 << 30)

    assert (near, tile_columns(step, plan)) == ([8, 8], [16])


@pytest.mark.parametrize(("every", "passes"), [(1, 2), (5, 1)])
def test_only_many_weights_are_split_to_fit_the_first_cache(every, passes, wide_tiles_pay):
    weight = np.zeros((64, 64 * 9), np.float32)
    weight[:, ::every] = 1
    program = layer(weight.reshape(64, 64, 3, 3), 8, padding=1)
    (step,) = program.steps

    choice = choose_kernel(step, plan_memory(program, 1), [CHANNEL_BLOCKS[0]])

    assert choice.channels_per_chunk < 64
    assert len(choice.entries) == passes


def sparse_layer(side, width=None):
    """A 3x3 convolution with few weights."""
    weight = np.zeros((64, 64, 3, 3), np.float32)
    weight[np.random.default_rng(0).random(weight.shape) < 0.05] = 1
    return layer(weight, side, width, padding=1)


@pytest.mark.parametrize(("width", "narrow"), [(2, True), (3, False)])
def test_a_map_of_few_pixels_takes_narrow_vectors(width, narrow):
    program = sparse_layer(2, width)
    code = compile_program(program, 1)

    (packed,) = (op.weights for op in code.instructions if op.weights)
    (packed_input,) = code.memory.packed_inputs.values()
    buffer = code.memory.buffers[packed_input.name]
    assert packed_input.narrow is narrow
    assert (
        packed.channel_block.lanes == NARROW_LANES or packed.channel_block.channel_lanes
    ) is narrow
    assert buffer.channel_stride == (NARROW_LANES if narrow else LANES)
    assert packed_input.planes == 9
    assert packed_input.padded_planes * buffer.channel_stride % LANES == 0
    assert packed_input.padded_planes - 9 < LANES // buffer.channel_stride
    assert not compile_program(program, LANES).memory.packed_inputs


def test_small_map_blocks_compute_in_narrow_vectors_too():
    # Sparse lists, which vectors of channels would fill with zeros: some list is cheapest.
    lists = [g for g in SMALL_MAP_BLOCKS if not g.channel_lanes]

    assert {(g.channels, g.shared) for g in lists} == {(1, True), (2, False), (4, False), (4, True)}
    step = sparse_layer(2).steps[0]
    assert (
        choose_kernel(step, plan_memory(sparse_layer(2), 1), SMALL_MAP_BLOCKS).channel_block
        in lists
    )
