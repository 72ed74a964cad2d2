from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightprune.sparse.codegen.memory_plan import Buffer, plan_memory
from lightprune.sparse.ir.program import ConvStep
from lightprune.sparse.isa.register_blocks import LANES
from tests.sparse.programs import programs, residual_program

UNITS = st.sampled_from([1, LANES])


def lifetimes(layout, output):
    """By name, the first and the last moment at which a value's memory holds it.

    Tasks that follow one another are carried out together, channel by channel.
    """
    moments, found = -1, {}
    for task in layout.tasks:
        moments += not task.follows
        for name in {task.value, *task.reads}:
            found.setdefault(name, [moments, moments])[1] = moments
    found[output][1] = moments + 1
    return found


@given(programs(10), UNITS)
def test_no_two_values_share_memory_while_both_are_needed(program, unit):
    layout = plan_memory(program, unit)
    lives = lifetimes(layout, program.output)
    assert set(lives) == set(layout.values)

    for (first, one), (second, other) in combinations(layout.values.items(), 2):
        together = lives[first][0] <= lives[second][1] and lives[second][0] <= lives[first][1]
        apart = one.place + one.size <= other.place or other.place + other.size <= one.place
        assert apart or not together, (first, second)


@given(programs(), UNITS)
def test_values_lie_between_the_stamps_and_the_end_in_whole_vectors(program, unit):
    layout = plan_memory(program, unit)

    for value in layout.values.values():
        assert layout.stamps <= value.place
        assert value.place + value.size <= layout.size
        assert value.place % LANES == value.size % LANES == 0
        assert value.plane % value.vector == 0


@given(programs(), UNITS)
def test_every_value_is_computed_before_it_is_read(program, unit):
    layout = plan_memory(program, unit)
    sorted_ones = {sorting.name for sorting in layout.sortings.values()}
    computed = set(sorted_ones)

    for task in layout.tasks:
        assert computed.issuperset(task.reads)
        computed.add(task.value)
    assert computed == set(layout.values)


@given(programs(), UNITS)
def test_what_follows_at_once_reads_what_was_computed_just_before(program, unit):
    tasks = plan_memory(program, unit).tasks

    for before, task in pairwise(tasks):
        if task.follows:
            group = [before.value, *before.reads] if before.follows else [before.value]
            assert set(task.reads) <= set(group)


@given(programs(), UNITS)
def test_every_tap_is_read_from_its_place_or_from_zeros(program, unit):
    layout = plan_memory(program, unit)
    for step in program.steps:
        if isinstance(step, ConvStep):
            check_taps(step, program, layout)


def check_taps(step, program, layout):
    """Compares where a convolution reads with a map of the numbers of all positions."""
    _, height, width = program.shapes[step.input]
    read, (apart, taps) = layout.read_by(step), layout.taps(step)
    memory = plane_numbers(step, program, layout)
    assert apart % read.plane == 0
    assert len(memory) == apart // layout.unit
    columns, kernel = step.weight.shape[3], step.weight.shape[2:]
    _, out_height, out_width = program.shapes[step.value]
    y, x = np.mgrid[:out_height, :out_width]
    for tap, place in enumerate(taps):
        row = y * step.stride[0] - step.padding[0][0] + tap // columns * step.dilation[0]
        column = x * step.stride[1] - step.padding[1][0] + tap % columns * step.dilation[1]
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        row_of_vectors = out_width if layout.unit == 1 else read.row // layout.unit
        places = (place + read.before) // layout.unit + y * row_of_vectors + x
        assert (memory[places] == np.where(inside, row * width + column, -1)).all(), kernel


def plane_numbers(step, program, layout):
    """One channel of what a convolution reads: by position, which number of the input it holds."""
    _, height, width = program.shapes[step.input]
    read, sorting = layout.read_by(step), layout.sortings.get(step.value)
    size = read.plane // layout.unit
    if sorting is not None:
        return sorting.indices(program.shapes[step.input], *read.shape[1:], size).reshape(-1)
    memory = np.full(size, -1)
    for row in range(height):
        start = (read.before + row * read.row) // layout.unit
        memory[start : start + width] = row * width + np.arange(width)
    return memory


def test_memory_is_used_again():
    layout = plan_memory(residual_program(), LANES)

    assert layout.size < sum(value.size for value in layout.values.values())


@pytest.mark.parametrize("unit", [1, LANES])
def test_a_plane_holds_its_margins_and_its_map(unit):
    value = Buffer((3, 5, 7), unit, (2, 1, 3))

    assert value.row == 10 * unit
    assert value.before == 2 * value.row + 3 * unit
    assert value.plane >= value.before + (5 + 1) * value.row
    assert value.size == 4 * value.plane
