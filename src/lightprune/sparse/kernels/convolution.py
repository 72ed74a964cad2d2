"""Convolution in the sparse runtime, compiled by Numba: on a range of groups of channels."""

from functools import cache
from math import inf

import numpy as np
from numba import types

from lightprune.sparse.isa.instruction import (
    ADDED,
    ADDED_PLANE,
    ADDED_ROW,
    BIAS,
    GROUP_CHANNELS,
    GROUPS,
    IN,
    IN_LANES,
    IN_ROW,
    N_PIECES,
    OFFSETS,
    ORDER,
    OUT,
    OUT_PLANE,
    OUT_ROW,
    PASSES,
    PIECE_COLUMNS,
    PIECES,
    RELU,
    SEGMENTS,
    SORTED,
    STAMP,
    START,
    WEIGHTS,
)
from lightprune.sparse.isa.register_blocks import FROM_OUTPUT
from lightprune.sparse.jit.compile import compile_to_address, jit_inline
from lightprune.sparse.jit.pointers import int_array
from lightprune.sparse.kernels.conv_small_maps import conv_channel_lanes
from lightprune.sparse.kernels.copying import pack_input_batch, run_copy_plan
from lightprune.sparse.kernels.multiply_block import multiply_block


@cache
def conv_kernel() -> int:
    """The address of the code that carries out a convolution.

    It takes int64: the address of the operation's row, the first group, the one after the last,
    the addresses of the arena and of this thread's own, and how many float32 values a position is.
    """
    return compile_to_address(_conv, types.void(*(types.int64,) * 6))


def _conv(row, first, last, arena, own, unit):
    op = int_array(row)
    inputs = arena
    if op[SORTED]:
        inputs = own
        sorting = int_array(op[SORTED])
        stamps = int_array(own)
        if not stamps[sorting[STAMP]]:
            # Every thread sorts for itself: the copies are larger than what they are copied from,
            # and to get them from another core takes longer.
            if unit == 1:
                run_copy_plan(sorting, arena, own)
            else:
                pack_input_batch(sorting, arena, own)
            stamps[sorting[STAMP]] = 1
    if op[IN_LANES]:
        conv_channel_lanes(op, first, last, arena, inputs)
    else:
        _conv_pixel_lanes(op, first, last, arena, inputs)


@jit_inline
def _conv_pixel_lanes(op, first, last, arena, inputs):
    """Computes groups `first` to `last` with positions or images in the lanes."""
    segments, pieces = int_array(op[SEGMENTS]), int_array(op[PIECES])
    channels, groups, passes = op[GROUP_CHANNELS], op[GROUPS], op[PASSES]
    for number in range(op[N_PIECES]):
        piece = PIECE_COLUMNS * number
        block = pieces[piece]
        output = arena + 4 * (op[OUT] + pieces[piece + 1])
        read = inputs + 4 * (op[IN] + pieces[piece + 2])
        residual = arena + 4 * (op[ADDED] + pieces[piece + 3])
        for step in range(passes):
            start = op[START] if step == 0 else FROM_OUTPUT
            ends = step == passes - 1
            least = np.float32(0.0 if op[RELU] and ends else -inf)
            for group in range(first, last):
                begin = segments[step * groups + group]
                end = segments[step * groups + group + 1]
                if begin == end and start == FROM_OUTPUT and not (op[RELU] and ends):
                    continue
                channel = group * channels
                multiply_block(
                    block,
                    start,
                    output,
                    op[OUT_ROW],
                    op[OUT_PLANE],
                    residual,
                    op[ADDED_ROW],
                    op[ADDED_PLANE],
                    op[ORDER] + 8 * channel,
                    op[BIAS] + 4 * channel,
                    read,
                    op[IN_ROW],
                    op[OFFSETS],
                    op[WEIGHTS],
                    begin,
                    end,
                    least,
                )
