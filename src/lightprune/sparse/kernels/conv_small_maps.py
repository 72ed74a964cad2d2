"""Convolution of a single image to a map too small for vectors, compiled by Numba."""

from math import inf

import numpy as np

from lightprune.sparse.isa.instruction import (
    ADDED,
    ADDED_PLANE,
    BIAS,
    CHANNELS,
    GROUP_CHANNELS,
    GROUPS,
    IN,
    N_PIECES,
    OFFSETS,
    OUT,
    OUT_PLANE,
    PASSES,
    PIECE_COLUMNS,
    PIECES,
    RELU,
    SEGMENTS,
    START,
    WEIGHTS,
)
from lightprune.sparse.isa.register_blocks import (
    FROM_BIAS,
    FROM_OUTPUT,
    FROM_RESIDUAL,
    LANES,
    REGISTER_BLOCKS,
)
from lightprune.sparse.jit.compile import jit_inline
from lightprune.sparse.jit.pointers import float_array, int_array
from lightprune.sparse.kernels.channel_microkernel import (
    gather_strided,
    multiply_channel_block,
    scatter_strided,
)
from lightprune.sparse.kernels.vector_ops import add_vector, clamp_vector, copy_vector

_MAX_ACCUMULATORS = max(
    LANES * block.accumulators for block in REGISTER_BLOCKS if block.grouping.in_lanes
)


@jit_inline
def conv_channel_lanes(op, first, last, arena, inputs):
    """Computes groups `first` to `last` with their channels in the lanes."""
    segments, pieces = int_array(op[SEGMENTS]), int_array(op[PIECES])
    channels, groups, passes = op[GROUP_CHANNELS], op[GROUPS], op[PASSES]
    scratch = np.empty(_MAX_ACCUMULATORS, np.float32)
    sums = scratch.ctypes.data
    for number in range(op[N_PIECES]):
        piece = PIECE_COLUMNS * number
        block, columns = pieces[piece], pieces[piece + 4]
        read = inputs + 4 * (op[IN] + pieces[piece + 2])
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
                output = arena + 4 * (op[OUT] + channel * op[OUT_PLANE] + pieces[piece + 1])
                started, apart = output, op[OUT_PLANE]
                if start == FROM_RESIDUAL:
                    apart = op[ADDED_PLANE]
                    started = arena + 4 * (op[ADDED] + channel * apart + pieces[piece + 3])
                kept = min(channels, op[CHANNELS] - channel)
                bias = op[BIAS] + 4 * channel
                _init_accumulators(op, start, sums, bias, kept, columns, started, apart)
                multiply_channel_block(block, sums, read, op[OFFSETS], op[WEIGHTS], begin, end)
                _store_accumulators(op, least, sums, kept, columns, output)
    # Keeps the array until its address is no longer used.
    scratch[0] = 0.0


@jit_inline
def _init_accumulators(op, start, sums, bias, kept, columns, read, apart):
    """What the sums of `kept` channels start from; what the others do is never looked at.

    Args:
        op: The operation.
        start: One of the `FROM_...`.
        sums: Address of the sums.
        bias: Address of the channels' biases.
        kept: How many channels there are.
        columns: How many positions there are.
        read: Address of the outputs or of the residual.
        apart: From one channel of these to the next.
    """
    channels = op[GROUP_CHANNELS]
    for first in range(0, kept, LANES):
        for column in range(columns):
            to = sums + 4 * (column * channels + first)
            if start == FROM_BIAS:
                copy_vector(to, bias + 4 * first)
                continue
            place = read + 4 * (first * apart + column)
            if first + LANES <= kept:
                gather_strided(to, place, 4 * apart)
            else:
                values, others = float_array(to), float_array(place)
                for lane in range(kept - first):
                    values[lane] = others[lane * apart]
            if start == FROM_RESIDUAL:
                add_vector(to, bias + 4 * first)


@jit_inline
def _store_accumulators(op, least, sums, kept, columns, output):
    """Writes the sums to the planes of their channels, those below `least` as that."""
    channels, apart = op[GROUP_CHANNELS], op[OUT_PLANE]
    for first in range(0, kept, LANES):
        for column in range(columns):
            read = sums + 4 * (column * channels + first)
            place = output + 4 * (first * apart + column)
            if first + LANES <= kept:
                scatter_strided(place, read, 4 * apart, least)
            else:
                clamp_vector(read, least)
                values, others = float_array(read), float_array(place)
                for lane in range(kept - first):
                    others[lane * apart] = values[lane]
