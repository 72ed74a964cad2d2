"""Pooling in the sparse runtime, compiled by Numba: each on a range of channels."""

import numpy as np

from lightprune.sparse.isa.instruction import (
    COUNT_PADDING,
    HEIGHT,
    IN,
    IN_HEIGHT,
    IN_PLANE,
    IN_ROW,
    IN_WIDTH,
    KERNEL_H,
    KERNEL_W,
    LEFT,
    OUT,
    OUT_PLANE,
    OUT_ROW,
    STRIDE_H,
    STRIDE_W,
    TOP,
    WIDTH,
)
from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.jit.compile import jit_cached, jit_inline
from lightprune.sparse.jit.pointers import float_array
from lightprune.sparse.kernels.copying import run_copy_plan
from lightprune.sparse.kernels.vector_ops import copy_vector, max_of_vectors, max_vector


@jit_inline
def max_pool(op, first, last, arena):
    """The largest of every window, `LANES` images at once."""
    width = op[IN_WIDTH] // LANES
    # The largest of each column.
    columns = np.empty(op[IN_WIDTH], np.float32)
    found = columns.ctypes.data
    for channel in range(first, last):
        for y in range(op[HEIGHT]):
            top = y * op[STRIDE_H] - op[TOP]
            begin, end = max(top, 0), min(top + op[KERNEL_H], op[IN_HEIGHT])
            _max_rows(op, channel, begin, end, arena, found)
            out = arena + 4 * (op[OUT] + channel * op[OUT_PLANE] + y * op[OUT_ROW])
            for x in range(op[WIDTH] // LANES):
                left = x * op[STRIDE_W] - op[LEFT]
                start, stop = max(left, 0), min(left + op[KERNEL_W], width)
                copy_vector(out + 4 * x * LANES, found + 4 * LANES * start)
                for column in range(start + 1, stop):
                    max_vector(out + 4 * x * LANES, found + 4 * LANES * column)
    # Keeps the array until its address is no longer used.
    columns[0] = 0.0


@jit_inline
def max_pool_single(op, first, last, arena):
    """The same for a single image, whose positions are the lanes."""
    # Row by row the largest of each column, with room for a last vector that is not full.
    columns = np.empty(op[HEIGHT] * op[IN_WIDTH] + LANES, np.float32)
    found = columns.ctypes.data
    for channel in range(first, last):
        for y in range(op[HEIGHT]):
            top = y * op[STRIDE_H] - op[TOP]
            begin, end = max(top, 0), min(top + op[KERNEL_H], op[IN_HEIGHT])
            _max_rows(op, channel, begin, end, arena, found + 4 * y * op[IN_WIDTH])
        out = arena + 4 * (op[OUT] + channel * op[OUT_PLANE])
        run_copy_plan(op, found, out)
    # Keeps the array until its address is no longer used.
    columns[0] = 0.0


@jit_cached
def _max_rows(op, channel, begin, end, arena, found):
    read = arena + 4 * (op[IN] + channel * op[IN_PLANE])
    row = 4 * op[IN_ROW]
    for i in range(0, 4 * op[IN_WIDTH], 4 * LANES):
        max_of_vectors(found + i, read + begin * row + i, row, end - begin)


@jit_inline
def avg_pool(op, first, last, arena, unit):
    """The mean of every window."""
    memory = float_array(arena)
    for channel in range(first, last):
        for y in range(op[HEIGHT]):
            top = y * op[STRIDE_H] - op[TOP]
            begin, end = max(top, 0), min(top + op[KERNEL_H], op[IN_HEIGHT])
            for x in range(op[WIDTH] // unit):
                left = x * op[STRIDE_W] - op[LEFT]
                start = max(left, 0)
                stop = min(left + op[KERNEL_W], op[IN_WIDTH] // unit)
                counted = (end - begin) * (stop - start)
                if op[COUNT_PADDING]:
                    counted = op[KERNEL_H] * op[KERNEL_W]
                out = op[OUT] + channel * op[OUT_PLANE] + y * op[OUT_ROW] + x * unit
                for i in range(unit):
                    total = np.float32(0.0)
                    for row in range(begin, end):
                        read = op[IN] + channel * op[IN_PLANE] + row * op[IN_ROW] + i
                        for column in range(start, stop):
                            total += memory[read + column * unit]
                    memory[out + i] = total / np.float32(counted)
