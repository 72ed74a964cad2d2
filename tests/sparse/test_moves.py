"""Moves of vectors against the positions they are made from, as numbers and as the kernels do."""

import ctypes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numba import njit, types

from lightprune.sparse import columns as c
from lightprune.sparse import vectors
from lightprune.sparse.blocks import LANES
from lightprune.sparse.columns import row_of
from lightprune.sparse.compiled import address_of
from lightprune.sparse.copying import move_vectors
from lightprune.sparse.indices import planes_read
from lightprune.sparse.layout import laid_out
from lightprune.sparse.memory import integers
from lightprune.sparse.moves import moves_of
from lightprune.sparse.rows import Rows
from tests.sparse.programs import convolution_programs

POSITIONS = 90
INDICES = st.integers(1, 4).flatmap(
    lambda vectors: arrays.arrays(np.int32, (vectors, LANES), elements=st.integers(-1, POSITIONS))
)


def carried_out(moves, values):
    """What the vectors hold in the end: first what copies leave, then what fills up."""
    found = np.full((moves.copies, LANES), np.nan)
    for number, (vector, place, lanes) in enumerate(
        zip(moves.vectors, moves.places, moves.lanes, strict=True)
    ):
        read = values[place // 4 :][:LANES][np.maximum(lanes, 0)]
        otherwise = 0 if number < moves.copies else found[vector]
        found[vector] = np.where(lanes >= 0, read, otherwise)
    return found


@given(INDICES, st.sampled_from([1, LANES]))
def test_every_lane_gets_the_position_it_asked_for(indices, step):
    values = np.random.default_rng(0).normal(size=POSITIONS + LANES)

    moves = moves_of(indices, step)

    assert np.array_equal(moves.vectors[: moves.copies], np.arange(len(indices)))
    assert (moves.places % (4 * step) == 0).all()
    assert moves.lanes.max() < LANES
    expected = np.where(indices >= 0, values[np.maximum(indices, 0)], 0)
    assert np.array_equal(carried_out(moves, values), expected)


def test_neighbours_take_one_move():
    indices = np.arange(7, 7 + LANES, dtype=np.int32)
    indices[:2] = -1

    moves = moves_of(indices)

    assert moves.copies == len(moves.vectors) == 1
    assert moves.places[0] == 4 * 9
    assert moves.lanes[0].tolist() == [-1, -1, *range(LANES - 2)]


@given(INDICES)
def test_a_vector_takes_as_many_moves_as_its_positions_lie_in_vectors(indices):
    moves = moves_of(indices, LANES)

    needed = [max(1, len({n // LANES for n in vector if n >= 0})) for vector in indices]
    assert np.bincount(moves.vectors).tolist() == needed


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_stride_takes_as_many_moves(stride):
    assert len(moves_of(np.arange(0, stride * LANES, stride, dtype=np.int32)).vectors) == stride


def _move(row, read, to):
    move_vectors(integers(row), read, to)


@pytest.fixture(scope="module")
def move():
    address = address_of(_move, types.void(*(types.int64,) * 3))
    return ctypes.CFUNCTYPE(None, *(ctypes.c_int64,) * 3)(address)


@pytest.mark.parametrize("permutation", sorted({vectors._PERMUTATION, None}, key=str))
def test_lanes_are_permuted_with_and_without_an_instruction_for_it(permutation, monkeypatch):
    monkeypatch.setattr(vectors, "_PERMUTATION", permutation)

    @njit
    def carry_out(to, read, moves, lanes):
        vectors.copy_permuted(to, read, moves, 1, lanes)
        vectors.fill_permuted(to + 4 * LANES, read, moves, 1, lanes)
        vectors.max_permuted(to + 8 * LANES, read, moves, 1, lanes)

    draw = np.random.default_rng(2)
    lanes = draw.integers(-LANES // 2, LANES, LANES, np.int32)
    read, to = (draw.normal(size=n * LANES).astype(np.float32) for n in (1, 3))
    read[3] = to[-1] = np.nan
    before = to.reshape(3, LANES).copy()
    moves = np.zeros(2, np.int64)

    carry_out(*(array.ctypes.data for array in (to, read, moves, lanes)))

    there, moved = lanes >= 0, read[np.maximum(lanes, 0)]
    expected = [
        np.where(there, moved, 0),
        np.where(there, moved, before[1]),
        np.where(there, np.maximum(moved, before[2]), before[2]),
    ]
    np.testing.assert_array_equal(to.reshape(3, LANES), expected)


@given(convolution_programs())
def test_the_table_moves_what_some_weight_reads_and_nothing_else(move, program):
    layout = laid_out(program, 1)
    rows = Rows(layout)
    values = np.random.default_rng(1).normal(size=layout.size).astype(np.float32)
    for sorting in {id(s): s for s in layout.sortings.values()}.values():
        row = row_of(rows._sort(sorting))
        to = np.full(layout.size, np.nan, np.float32)

        move(row.ctypes.data, values.ctypes.data, to.ctypes.data)

        value, read = layout.values[sorting.name], layout.values[sorting.value]
        indices = sorting.indices(read.shape, *value.shape[1:], value.plane)
        expected = np.full(layout.size, np.nan, np.float32)
        for channel, number in np.argwhere(planes_read(sorting, layout.readers(sorting))):
            plane = values[read.origin + channel * read.plane :]
            begin = value.origin + (channel * sorting.planes + number) * value.plane
            places = indices[number]
            moved = np.where(places >= 0, plane[np.maximum(places, 0)], 0)
            expected[begin : begin + value.plane] = moved
        np.testing.assert_array_equal(to, expected)
        moves = np.ctypeslib.as_array(
            (ctypes.c_int64 * (c.MOVE_COLUMNS * _count(row))).from_address(int(row[c.MOVES]))
        )
        assert moves.min(initial=0) >= 0
        assert moves.max(initial=0) + 4 * LANES <= 4 * layout.size


def _count(row):
    runs = (ctypes.c_int64 * (c.RUN_COLUMNS * int(row[c.N_RUNS]))).from_address(int(row[c.RUNS]))
    return sum(runs[:: c.RUN_COLUMNS])
