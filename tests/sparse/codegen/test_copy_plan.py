"""Shuffles against the gathers they are planned from, in NumPy and as the kernels run them."""

import ctypes
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numba import cfunc, njit, types

from lightprune.sparse.codegen import memory_plan
from lightprune.sparse.codegen.copy_plan import plan_shuffles
from lightprune.sparse.codegen.emit import Emitter
from lightprune.sparse.codegen.gather_indices import used_planes, used_vectors
from lightprune.sparse.codegen.memory_plan import plan_memory
from lightprune.sparse.isa.instruction import PackInput
from lightprune.sparse.isa.records import encode, record_type
from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.isa.tables import MAX_SHUFFLES, CopyRun, table_type
from lightprune.sparse.jit.pointers import int_array, record_at
from lightprune.sparse.kernels import vector_ops as vectors
from lightprune.sparse.kernels.copying import run_copy_plan
from tests.sparse.programs import convolution_programs

PIXELS = 90
INDICES = st.integers(1, 4).flatmap(
    lambda vectors: arrays.arrays(np.int32, (vectors, LANES), elements=st.integers(-1, PIXELS))
)


def executed(shuffles, values):
    """What the vectors hold afterwards."""
    vectors = np.zeros((shuffles.vectors.max() + 1, LANES))
    for vector, offset, lanes in zip(
        shuffles.vectors, shuffles.offsets, shuffles.lanes, strict=True
    ):
        read = values[offset // 4 :][:LANES][np.maximum(lanes, 0)]
        vectors[vector] = np.where(lanes >= 0, read, vectors[vector])
    return vectors


@given(INDICES, st.sampled_from([1, LANES]))
def test_every_lane_gets_the_pixel_of_its_index(indices, alignment):
    values = np.random.default_rng(0).normal(size=PIXELS + LANES)

    shuffles = plan_shuffles(indices, alignment)

    assert np.array_equal(np.unique(shuffles.vectors), np.arange(len(indices)))
    assert (np.diff(shuffles.vectors) >= 0).all()
    assert (shuffles.offsets % (4 * alignment) == 0).all()
    assert shuffles.lanes.max() < LANES
    expected = np.where(indices >= 0, values[np.maximum(indices, 0)], 0)
    assert np.array_equal(executed(shuffles, values), expected)


def test_neighbours_take_one_shuffle():
    indices = np.arange(7, 7 + LANES, dtype=np.int32)
    indices[:2] = -1

    shuffles = plan_shuffles(indices)

    assert len(shuffles.vectors) == 1
    assert shuffles.offsets[0] == 4 * 9
    assert shuffles.lanes[0].tolist() == [-1, -1, *range(LANES - 2)]


@given(INDICES)
def test_a_vector_takes_as_many_shuffles_as_its_pixels_lie_in_vectors(indices):
    shuffles = plan_shuffles(indices, LANES)

    needed = [max(1, len({n // LANES for n in vector if n >= 0})) for vector in indices]
    assert np.bincount(shuffles.vectors).tolist() == needed


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_stride_takes_as_many_shuffles(stride):
    assert (
        len(plan_shuffles(np.arange(0, stride * LANES, stride, dtype=np.int32)).vectors) == stride
    )


PACK_INPUT = record_type(PackInput)


def _copy(record, read, to):
    op = record_at(record, PACK_INPUT)
    runs = int_array(op.run_starts)[op.planes * op.vectors]
    run_copy_plan(op.copy_runs, runs, read, to)


@pytest.fixture(scope="module")
def copy():
    # Not kept on disk: nothing there would notice that a test has changed.
    code = cfunc(types.void(*(types.int64,) * 3), nopython=True)(_copy)
    return ctypes.CFUNCTYPE(None, *(ctypes.c_int64,) * 3)(code.address)


@pytest.mark.parametrize("permutation", sorted({vectors._PERMUTE_INSTRUCTION, None}, key=str))
@pytest.mark.parametrize("number", range(1, MAX_SHUFFLES + 1))
def test_lanes_are_permuted_with_and_without_an_instruction_for_it(
    permutation, number, monkeypatch
):
    monkeypatch.setattr(vectors, "_PERMUTE_INSTRUCTION", permutation)

    @njit
    def shuffle(to, read, offsets, shuffles):
        vectors.shuffle_copy(to, read, offsets, 2, shuffles, number)
        vectors.shuffle_fill(to + 8 * LANES, read, offsets, 2, shuffles, number)
        vectors.shuffle_max(to + 16 * LANES, read, offsets, 2, shuffles, number)

    draw = np.random.default_rng(2)
    lanes = draw.integers(-LANES // 2, LANES, (number, LANES), np.int32)
    read = draw.normal(size=(2, number, LANES)).astype(np.float32)
    to = draw.normal(size=(3, 2, LANES)).astype(np.float32)
    read[0, 0, 3] = to[2, 1, -1] = np.nan
    before = to.copy()
    # A channel after the other, each a vector further on.
    offsets = np.array([[0, 0], [4 * number * LANES, 4 * LANES]])
    shuffles = np.array([[4 * n * LANES, lanes[n].ctypes.data] for n in range(number)])

    shuffle(*(array.ctypes.data for array in (to, read, offsets, shuffles)))

    for channel in range(2):
        copied, filled, largest = np.zeros(LANES, np.float32), *before[1:, channel]
        for chosen, values in zip(lanes, read[channel], strict=True):
            there, moved = chosen >= 0, values[np.maximum(chosen, 0)]
            copied, filled = np.where(there, moved, copied), np.where(there, moved, filled)
            largest = np.where(there, np.maximum(moved, largest), largest)
        np.testing.assert_array_equal(to[:, channel], [copied, filled, largest])


@given(convolution_programs())
def test_a_copy_plan_fills_the_vectors_that_some_weight_reads_and_no_other(copy, program):
    with mock.patch.object(memory_plan, "plan_bands", return_value={}):
        plan = plan_memory(program, 1)
    emitter = Emitter(plan)
    values = np.random.default_rng(1).normal(size=plan.size).astype(np.float32)
    for packed in {id(s): s for s in plan.packed_inputs.values()}.values():
        record = encode(emitter.pack_input(packed, number=0))
        to = np.full(plan.size, np.nan, np.float32)

        copy(record.ctypes.data, values.ctypes.data, to.ctypes.data)

        value, read = plan.buffers[packed.name], plan.buffers[packed.value]
        indices = packed.gather_indices(read.shape, *value.shape[1:], value.channel_stride).reshape(
            -1, LANES
        )
        expected = np.full(plan.size, np.nan, np.float32)
        planes = used_planes(packed, plan.readers(packed))
        needed = used_vectors(planes, packed.padded_planes, value.channel_stride)
        for channel, number in np.argwhere(needed):
            plane = values[read.view.offset + channel * read.channel_stride :]
            begin = (
                value.view.offset
                + channel * packed.padded_planes * value.channel_stride
                + number * LANES
            )
            pixels = indices[number]
            moved = np.where(pixels >= 0, plane[np.maximum(pixels, 0)], 0)
            expected[begin : begin + LANES] = moved
        np.testing.assert_array_equal(to, expected)
        for read_from, written in _transfers(record):
            assert 0 <= read_from <= 4 * (plan.size - LANES)
            assert 0 <= written <= 4 * (plan.size - LANES)


def _table(address, *shape, dtype=np.int64):
    memory = (ctypes.c_char * (int(np.prod(shape)) * np.dtype(dtype).itemsize)).from_address(
        address
    )
    return np.frombuffer(memory, dtype).reshape(shape)


def _transfers(record):
    """From where, and where to, every shuffle of a copy plan goes."""
    count = int(record["planes"] * record["vectors"])
    last = int(_table(int(record["run_starts"]), count + 1)[-1])
    runs = _table(int(record["copy_runs"]), last, dtype=table_type(CopyRun))
    for run in runs.tolist():
        _, count, channel_offsets, vector_offset, n_shuffles, shuffles = run
        assert 1 <= n_shuffles <= MAX_SHUFFLES
        for read, to in _table(channel_offsets, count, 2):
            for offset, _ in _table(shuffles, n_shuffles, 2):
                yield read + offset, to + vector_offset


def test_planes_and_vectors():
    planes = np.zeros((2, 3), np.bool_)
    planes[0, 1] = planes[1, 2] = True

    assert np.array_equal(used_vectors(planes, 3, LANES), planes)
    wide = used_vectors(planes, 3, 2 * LANES)
    assert wide.tolist() == [[False, False, True, True, False, False], [False] * 4 + [True] * 2]
    narrow = used_vectors(planes, 4, LANES // 2)
    assert narrow.tolist() == [[True, False], [False, True]]
