"""Copying values from one layout to another, compiled by Numba."""

import numpy as np

from lightprune.sparse.isa.instruction import (
    CHANNELS,
    COLUMN_SHIFTS,
    COPY,
    FILL,
    HEIGHT,
    IN,
    IN_HEIGHT,
    IN_PLANE,
    IN_ROW,
    IN_WIDTH,
    N_COLUMNS,
    N_ROWS,
    N_RUNS,
    OUT,
    OUT_PLANE,
    OUT_ROW,
    ROW_SHIFTS,
    RUN_COLUMNS,
    RUNS,
    STRIDE_H,
    STRIDE_W,
    WIDTH,
)
from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.jit.compile import jit_cached, jit_inline
from lightprune.sparse.jit.pointers import float_array, int_array
from lightprune.sparse.kernels.vector_ops import (
    copy_vector,
    fill_vector,
    shuffle_copy,
    shuffle_fill,
    shuffle_max,
)


@jit_inline
def pack_input_batch(op, arena, own):
    """Copies a value for a convolution, `LANES` images at once; see `sorting.Sorting`."""
    row_shifts, column_shifts = int_array(op[ROW_SHIFTS]), int_array(op[COLUMN_SHIFTS])
    planes = op[N_ROWS] * op[N_COLUMNS]
    width, columns = op[WIDTH] // LANES, op[IN_WIDTH] // LANES
    down, across = op[STRIDE_H], op[STRIDE_W]
    for number in range(planes):
        above, beside = row_shifts[number // op[N_COLUMNS]], column_shifts[number % op[N_COLUMNS]]
        # The rows and columns that lie on the value; all others are zero.
        top = min(op[HEIGHT], max(0, -(above // down)))
        bottom = max(top, min(op[HEIGHT], (op[IN_HEIGHT] - 1 - above) // down + 1))
        left = min(width, max(0, -(beside // across)))
        right = max(left, min(width, (columns - 1 - beside) // across + 1))
        for channel in range(op[CHANNELS]):
            out = own + 4 * (op[OUT] + (channel * planes + number) * op[OUT_PLANE])
            read = op[IN] + channel * op[IN_PLANE] + above * op[IN_ROW] + beside * LANES
            for i in range(0, 4 * op[OUT_PLANE], 4 * LANES):
                fill_vector(out + i, np.float32(0.0))
            for y in range(top, bottom):
                for x in range(left, right):
                    copy_vector(
                        out + 4 * (y * op[OUT_ROW] + x * LANES),
                        arena + 4 * (read + y * down * op[IN_ROW] + x * across * LANES),
                    )


@jit_cached
def run_copy_plan(op, read, to):
    """Carries out the moves of an operation, run by run."""
    runs = int_array(op[RUNS])
    for run in range(0, RUN_COLUMNS * op[N_RUNS], RUN_COLUMNS):
        count, channels, behind = runs[run + 1], runs[run + 2], runs[run + 3]
        number, moves = runs[run + 4], runs[run + 5]
        if runs[run] == COPY:
            shuffle_copy(to + behind, read, channels, count, moves, number)
        elif runs[run] == FILL:
            shuffle_fill(to + behind, read, channels, count, moves, number)
        else:
            shuffle_max(to + behind, read, channels, count, moves, number)


@jit_inline
def flatten(op, first, last, arena, unit):
    """Makes every position a channel."""
    memory = float_array(arena)
    width = op[IN_WIDTH]
    for channel in range(first, last):
        for y in range(op[IN_HEIGHT]):
            for x in range(width):
                position = (channel * op[IN_HEIGHT] + y) * width + x
                out = op[OUT] + position * op[OUT_PLANE]
                read = op[IN] + channel * op[IN_PLANE] + y * op[IN_ROW] + x * unit
                for i in range(unit):
                    memory[out + i] = memory[read + i]


@jit_inline
def pack(op, first, last, arena, unit, source, count):
    """Copies the images to the arena; what is missing to a whole tile is zero."""
    memory, images = float_array(arena), float_array(source)
    height, width = op[HEIGHT], op[WIDTH] // unit
    if unit == 1:
        _pack_single(op, first, last, arena, source)
        return
    size = op[CHANNELS] * height * width
    for channel in range(first, last):
        for y in range(height):
            out = op[OUT] + channel * op[OUT_PLANE] + y * op[OUT_ROW]
            read = (channel * height + y) * width
            for image in range(unit):
                if image < count:
                    for x in range(width):
                        memory[out + x * unit + image] = images[image * size + read + x]
                else:
                    for x in range(width):
                        memory[out + x * unit + image] = 0.0


@jit_inline
def _pack_single(op, first, last, arena, source):
    """Rows follow one another without margins in both."""
    memory, images = float_array(arena), float_array(source)
    size = op[HEIGHT] * op[WIDTH]
    whole = size // LANES * LANES
    for channel in range(first, last):
        out, read = op[OUT] + channel * op[OUT_PLANE], channel * size
        for i in range(0, whole, LANES):
            copy_vector(arena + 4 * (out + i), source + 4 * (read + i))
        for i in range(whole, size):
            memory[out + i] = images[read + i]


@jit_inline
def unpack(op, first, last, arena, unit, target, count):
    """Copies the outputs from the arena."""
    memory, outputs = float_array(arena), float_array(target)
    height, width = op[HEIGHT], op[WIDTH] // unit
    size = op[CHANNELS] * height * width
    for channel in range(first, last):
        for y in range(height):
            read = op[IN] + channel * op[IN_PLANE] + y * op[IN_ROW]
            out = (channel * height + y) * width
            for image in range(count):
                for x in range(width):
                    outputs[image * size + out + x] = memory[read + x * unit + image]
