"""The operations of the sparse runtime, compiled by Numba: each on a range of channels.

A value lies in the arena as planes of rows of positions; a position is one float32 (a single
image) or `LANES` of them (that many images). Values of single images have no margins, so that a
plane is one long row; others may have margins around the map, which are zero.
"""

from functools import cache

import numpy as np
from numba import types

from lightprune.sparse.isa.instruction import (
    ADDED,
    ADDED_PLANE,
    ADDED_ROW,
    AVG_POOL,
    BEFORE,
    BIAS,
    BIAS_KIND,
    CHANNELS,
    CODE,
    CONV,
    FLATTEN,
    GROUP_CHANNELS,
    HEIGHT,
    IN,
    IN_HEIGHT,
    IN_PLANE,
    IN_ROW,
    IN_WIDTH,
    KIND,
    MARGINS,
    MAX_POOL,
    NEXT,
    OUT,
    OUT_PLANE,
    OUT_ROW,
    PACK,
    RELU,
    SUM,
    UNPACK,
    WIDTH,
)
from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.jit.atomics import call_conv_kernel
from lightprune.sparse.jit.compile import compile_to_address, jit_inline
from lightprune.sparse.jit.pointers import float_array, int_array
from lightprune.sparse.kernels.copying import flatten, pack, unpack
from lightprune.sparse.kernels.pooling import avg_pool, max_pool, max_pool_single
from lightprune.sparse.kernels.vector_ops import add_vector, clamp_vector, copy_vector, fill_vector


@cache
def interpreter() -> int:
    """The address of the code that carries out an operation; see `_interpret`."""
    return compile_to_address(_interpret, types.void(*(types.int64,) * 9))


def _interpret(row, first, last, arena, own, unit, source, target, count):
    """Carries out one operation, and those that follow it, on some channels.

    Args:
        row: Address of its row of the table.
        first: The first channel, or group of channels of a convolution.
        last: One after the last.
        arena: Address of the arena.
        own: Address of the arena that this thread sorts values into.
        unit: Float32 values a position: 1 or `LANES`.
        source: Address of the images to pack, (n, C, H, W) contiguous.
        target: Address of the outputs to unpack to, (n, C, H, W) contiguous.
        count: Number of images, at most `unit`.
    """
    while row:
        op = int_array(row)
        kind = op[KIND]
        if kind == CONV:
            call_conv_kernel(op[CODE], row, first, last, arena, own, unit)
            first *= op[GROUP_CHANNELS]
            last = min(last * op[GROUP_CHANNELS], op[CHANNELS])
        elif kind == SUM:
            _add(op, first, last, arena)
        elif kind == FLATTEN:
            flatten(op, first, last, arena, unit)
            first *= op[IN_HEIGHT] * op[IN_WIDTH]
            last *= op[IN_HEIGHT] * op[IN_WIDTH]
        elif kind == PACK:
            pack(op, first, last, arena, unit, source, count)
        elif kind == UNPACK:
            unpack(op, first, last, arena, unit, target, count)
        else:
            _by_channel(op, first, last, arena, unit)
        if op[MARGINS]:
            _clear_halo(op, first, last, arena)
        row = op[NEXT]


@jit_inline
def _by_channel(op, first, last, arena, unit):
    """Operations that compute a channel from the same channel of one value."""
    if op[KIND] == MAX_POOL:
        if unit == 1:
            max_pool_single(op, first, last, arena)
        else:
            max_pool(op, first, last, arena)
    elif op[KIND] == AVG_POOL:
        avg_pool(op, first, last, arena, unit)


@jit_inline
def _clear_halo(op, first, last, arena):
    """Zeroes what surrounds the map: convolutions leave what they like there."""
    memory = float_array(arena)
    for channel in range(first, last):
        place = op[OUT] + channel * op[OUT_PLANE]
        for i in range(place - op[BEFORE], place):
            memory[i] = 0.0
        for y in range(op[HEIGHT] - 1):
            for i in range(place + y * op[OUT_ROW] + op[WIDTH], place + (y + 1) * op[OUT_ROW]):
                memory[i] = 0.0
        ends = place + (op[HEIGHT] - 1) * op[OUT_ROW] + op[WIDTH]
        for i in range(ends, place - op[BEFORE] + op[OUT_PLANE]):
            memory[i] = 0.0


@jit_inline
def _add(op, first, last, arena):
    """Value = relu?(bias + input + added)."""
    biases = float_array(op[BIAS])
    for channel in range(first, last):
        for y in range(op[HEIGHT]):
            out = arena + 4 * (op[OUT] + channel * op[OUT_PLANE] + y * op[OUT_ROW])
            bias = op[BIAS] + 4 * (channel * op[HEIGHT] + y) * op[WIDTH]
            read = arena + 4 * (op[IN] + channel * op[IN_PLANE] + y * op[IN_ROW])
            added = arena + 4 * (op[ADDED] + channel * op[ADDED_PLANE] + y * op[ADDED_ROW])
            for i in range(0, 4 * op[WIDTH], 4 * LANES):
                if op[BIAS_KIND] == 2:
                    copy_vector(out + i, bias + i)
                else:
                    fill_vector(out + i, biases[channel] if op[BIAS_KIND] else np.float32(0.0))
                if op[IN] >= 0:
                    add_vector(out + i, read + i)
                if op[ADDED] >= 0:
                    add_vector(out + i, added + i)
                if op[RELU]:
                    clamp_vector(out + i, np.float32(0.0))
