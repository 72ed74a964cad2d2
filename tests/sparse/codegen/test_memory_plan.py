from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightprune.sparse.codegen.memory_plan import Buffer, plan_memory
from lightprune.sparse.ir.program import ConvStep
from lightprune.sparse.isa.register_blocks import LANES
from tests.sparse.programs import programs, residual_program

IMAGES = st.sampled_from([1, LANES])


def lifetimes(plan, output):
    """By name, the first and the last moment at which a buffer holds its value.

    Fused tasks run together, channel by channel.
    """
    moment, live = -1, {}
    for task in plan.tasks:
        moment += not task.fused
        for name in {task.value, *task.reads}:
            live.setdefault(name, [moment, moment])[1] = moment
    live[output][1] = moment + 1
    return live


@given(programs(10), IMAGES)
def test_no_two_buffers_share_memory_while_both_are_live(program, images_per_vector):
    plan = plan_memory(program, images_per_vector)
    lives = lifetimes(plan, program.output)
    assert set(lives) == set(plan.buffers)

    for (first, one), (second, other) in combinations(plan.buffers.items(), 2):
        together = lives[first][0] <= lives[second][1] and lives[second][0] <= lives[first][1]
        apart = one.offset + one.size <= other.offset or other.offset + other.size <= one.offset
        assert apart or not together, (first, second)


@given(programs(), IMAGES)
def test_buffers_lie_between_the_flags_and_the_end_in_whole_vectors(program, images_per_vector):
    plan = plan_memory(program, images_per_vector)

    for value in plan.buffers.values():
        assert plan.flags_size <= value.offset
        assert value.offset + value.size <= plan.size
        assert value.offset % LANES == value.size % LANES == 0
        assert value.channel_stride % value.alignment == 0


@given(programs(), IMAGES)
def test_every_value_is_computed_before_it_is_read(program, images_per_vector):
    plan = plan_memory(program, images_per_vector)
    packed_names = {packed.name for packed in plan.packed_inputs.values()}
    computed = set(packed_names)

    for task in plan.tasks:
        assert computed.issuperset(task.reads)
        computed.add(task.value)
    assert computed == set(plan.buffers)


@given(programs(), IMAGES)
def test_a_fused_task_reads_what_was_computed_just_before(program, images_per_vector):
    tasks = plan_memory(program, images_per_vector).tasks

    for before, task in pairwise(tasks):
        if task.fused:
            group = [before.value, *before.reads] if before.fused else [before.value]
            assert set(task.reads) <= set(group)


@given(programs(), IMAGES)
def test_every_tap_is_read_from_its_place_or_from_zeros(program, images_per_vector):
    plan = plan_memory(program, images_per_vector)
    for step in program.steps:
        if isinstance(step, ConvStep):
            check_taps(step, program, plan)


def check_taps(step, program, plan):
    """Compares where a convolution reads with a map of the indices of all pixels."""
    _, height, width = program.shapes[step.input]
    read, (apart, taps) = plan.input_buffer(step), plan.tap_offsets(step)
    memory = plane_numbers(step, program, plan)
    assert apart % read.channel_stride == 0
    assert len(memory) == apart // plan.images_per_vector
    columns, kernel = step.weight.shape[3], step.weight.shape[2:]
    _, out_height, out_width = program.shapes[step.value]
    y, x = np.mgrid[:out_height, :out_width]
    for tap, place in enumerate(taps):
        row = y * step.stride[0] - step.padding[0][0] + tap // columns * step.dilation[0]
        column = x * step.stride[1] - step.padding[1][0] + tap % columns * step.dilation[1]
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        row_of_vectors = (
            out_width if plan.images_per_vector == 1 else read.row_stride // plan.images_per_vector
        )
        offsets = (place + read.halo_offset) // plan.images_per_vector + y * row_of_vectors + x
        assert (memory[offsets] == np.where(inside, row * width + column, -1)).all(), kernel


def plane_numbers(step, program, plan):
    """One channel of what a convolution reads: by pixel, the index of the input that it holds."""
    _, height, width = program.shapes[step.input]
    read, packed = plan.input_buffer(step), plan.packed_inputs.get(step.value)
    size = read.channel_stride // plan.images_per_vector
    if packed is not None:
        return packed.gather_indices(program.shapes[step.input], *read.shape[1:], size).reshape(-1)
    memory = np.full(size, -1)
    for row in range(height):
        start = (read.halo_offset + row * read.row_stride) // plan.images_per_vector
        memory[start : start + width] = row * width + np.arange(width)
    return memory


def test_memory_is_used_again():
    plan = plan_memory(residual_program(), LANES)

    assert plan.size < sum(value.size for value in plan.buffers.values())


@pytest.mark.parametrize("images_per_vector", [1, LANES])
def test_a_channel_holds_its_halo_and_its_map(images_per_vector):
    value = Buffer((3, 5, 7), images_per_vector, (2, 1, 3))

    assert value.row_stride == 10 * images_per_vector
    assert value.halo_offset == 2 * value.row_stride + 3 * images_per_vector
    assert value.channel_stride >= value.halo_offset + (5 + 1) * value.row_stride
    assert value.size == 4 * value.channel_stride
