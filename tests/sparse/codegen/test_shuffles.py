"""Moves of vectors against the positions they are made from, as numbers and as the kernels do."""

import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numba import cfunc, njit, types

from lightprune.sparse.codegen.emit import Emitter
from lightprune.sparse.codegen.gather_indices import used_planes, used_vectors
from lightprune.sparse.codegen.memory_plan import plan_memory
from lightprune.sparse.codegen.shuffles import plan_shuffles
from lightprune.sparse.isa import instruction as c
from lightprune.sparse.isa.instruction import encode
from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.jit.pointers import int_array
from lightprune.sparse.kernels import vector_ops as vectors
from lightprune.sparse.kernels.copying import run_copy_plan
from tests.sparse.programs import convolution_programs

POSITIONS = 90
INDICES = st.integers(1, 4).flatmap(
    lambda vectors: arrays.arrays(np.int32, (vectors, LANES), elements=st.integers(-1, POSITIONS))
)


def carried_out(moves, values):
    """What the vectors hold in the end."""
    found = np.zeros((moves.vectors.max() + 1, LANES))
    for vector, place, lanes in zip(moves.vectors, moves.places, moves.lanes, strict=True):
        read = values[place // 4 :][:LANES][np.maximum(lanes, 0)]
        found[vector] = np.where(lanes >= 0, read, found[vector])
    return found


@given(INDICES, st.sampled_from([1, LANES]))
def test_every_lane_gets_the_position_it_asked_for(indices, step):
    values = np.random.default_rng(0).normal(size=POSITIONS + LANES)

    moves = plan_shuffles(indices, step)

    assert np.array_equal(np.unique(moves.vectors), np.arange(len(indices)))
    assert (np.diff(moves.vectors) >= 0).all()
    assert (moves.places % (4 * step) == 0).all()
    assert moves.lanes.max() < LANES
    expected = np.where(indices >= 0, values[np.maximum(indices, 0)], 0)
    assert np.array_equal(carried_out(moves, values), expected)


def test_neighbours_take_one_move():
    indices = np.arange(7, 7 + LANES, dtype=np.int32)
    indices[:2] = -1

    moves = plan_shuffles(indices)

    assert len(moves.vectors) == 1
    assert moves.places[0] == 4 * 9
    assert moves.lanes[0].tolist() == [-1, -1, *range(LANES - 2)]


@given(INDICES)
def test_a_vector_takes_as_many_moves_as_its_positions_lie_in_vectors(indices):
    moves = plan_shuffles(indices, LANES)

    needed = [max(1, len({n // LANES for n in vector if n >= 0})) for vector in indices]
    assert np.bincount(moves.vectors).tolist() == needed


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_stride_takes_as_many_moves(stride):
    assert (
        len(plan_shuffles(np.arange(0, stride * LANES, stride, dtype=np.int32)).vectors) == stride
    )


def _move(row, read, to):
    run_copy_plan(int_array(row), read, to)


@pytest.fixture(scope="module")
def move():
    # Not kept on disk: nothing there would notice that a test has changed.
    code = cfunc(types.void(*(types.int64,) * 3), nopython=True)(_move)
    return ctypes.CFUNCTYPE(None, *(ctypes.c_int64,) * 3)(code.address)


@pytest.mark.parametrize("permutation", sorted({vectors._PERMUTE_INSTRUCTION, None}, key=str))
@pytest.mark.parametrize("number", range(1, c.MAX_SHUFFLES + 1))
def test_lanes_are_permuted_with_and_without_an_instruction_for_it(
    permutation, number, monkeypatch
):
    monkeypatch.setattr(vectors, "_PERMUTE_INSTRUCTION", permutation)

    @njit
    def carry_out(to, read, channels, moves):
        vectors.shuffle_copy(to, read, channels, 2, moves, number)
        vectors.shuffle_fill(to + 8 * LANES, read, channels, 2, moves, number)
        vectors.shuffle_max(to + 16 * LANES, read, channels, 2, moves, number)

    draw = np.random.default_rng(2)
    lanes = draw.integers(-LANES // 2, LANES, (number, LANES), np.int32)
    read = draw.normal(size=(2, number, LANES)).astype(np.float32)
    to = draw.normal(size=(3, 2, LANES)).astype(np.float32)
    read[0, 0, 3] = to[2, 1, -1] = np.nan
    before = to.copy()
    # A channel after the other, each a vector further on.
    channels = np.array([[0, 0], [4 * number * LANES, 4 * LANES]])
    moves = np.array([[4 * n * LANES, lanes[n].ctypes.data] for n in range(number)])

    carry_out(*(array.ctypes.data for array in (to, read, channels, moves)))

    for channel in range(2):
        copied, filled, largest = np.zeros(LANES, np.float32), *before[1:, channel]
        for chosen, values in zip(lanes, read[channel], strict=True):
            there, moved = chosen >= 0, values[np.maximum(chosen, 0)]
            copied, filled = np.where(there, moved, copied), np.where(there, moved, filled)
            largest = np.where(there, np.maximum(moved, largest), largest)
        np.testing.assert_array_equal(to[:, channel], [copied, filled, largest])


@given(convolution_programs())
def test_the_table_moves_the_vectors_that_some_weight_reads_and_no_other(move, program):
    layout = plan_memory(program, 1)
    rows = Emitter(layout)
    values = np.random.default_rng(1).normal(size=layout.size).astype(np.float32)
    for sorting in {id(s): s for s in layout.sortings.values()}.values():
        row = encode(rows._sort(sorting))
        to = np.full(layout.size, np.nan, np.float32)

        move(row.ctypes.data, values.ctypes.data, to.ctypes.data)

        value, read = layout.values[sorting.name], layout.values[sorting.value]
        indices = sorting.indices(read.shape, *value.shape[1:], value.plane).reshape(-1, LANES)
        expected = np.full(layout.size, np.nan, np.float32)
        planes = used_planes(sorting, layout.readers(sorting))
        needed = used_vectors(planes, sorting.apart, value.plane)
        for channel, number in np.argwhere(needed):
            plane = values[read.origin + channel * read.plane :]
            begin = value.origin + channel * sorting.apart * value.plane + number * LANES
            places = indices[number]
            moved = np.where(places >= 0, plane[np.maximum(places, 0)], 0)
            expected[begin : begin + LANES] = moved
        np.testing.assert_array_equal(to, expected)
        for read_from, written in _places(row):
            assert 0 <= read_from <= 4 * (layout.size - LANES)
            assert 0 <= written <= 4 * (layout.size - LANES)


def _int64(address, *shape):
    kind = ctypes.c_int64 * int(np.prod(shape))
    return np.ctypeslib.as_array(kind.from_address(int(address))).reshape(shape)


def _places(row):
    """From where, and where to, every move of a table goes."""
    for _, count, channels, behind, number, moves in _int64(
        row[c.RUNS], int(row[c.N_RUNS]), c.RUN_COLUMNS
    ):
        assert 1 <= number <= c.MAX_SHUFFLES
        for read, to in _int64(channels, int(count), 2):
            for place, _ in _int64(moves, int(number), 2):
                yield read + place, to + behind


def test_planes_and_vectors():
    planes = np.zeros((2, 3), np.bool_)
    planes[0, 1] = planes[1, 2] = True

    assert np.array_equal(used_vectors(planes, 3, LANES), planes)
    wide = used_vectors(planes, 3, 2 * LANES)
    assert wide.tolist() == [[False, False, True, True, False, False], [False] * 4 + [True] * 2]
    narrow = used_vectors(planes, 4, LANES // 2)
    assert narrow.tolist() == [[True, False], [False, True]]
