"""Convolution of a single image to a map too small for vectors: output channels in the lanes."""

from math import inf

import numpy as np

from lightprune.sparse.isa.register_blocks import (
    FROM_OUTPUT,
    FROM_ZERO,
    LANES,
    PLUS_NOTHING,
    PLUS_RESIDUAL,
    REGISTER_BLOCKS,
)
from lightprune.sparse.isa.tables import TileRecord, table_type
from lightprune.sparse.jit.compile import jit_inline
from lightprune.sparse.jit.pointers import float_array, int_array, record_array
from lightprune.sparse.kernels.activations import apply_to_vectors
from lightprune.sparse.kernels.channel_microkernel import (
    gather_strided,
    multiply_channel_block,
    scatter_strided,
)
from lightprune.sparse.kernels.copying import pack_input
from lightprune.sparse.kernels.vector_ops import add_vector, clamp_vector, fill_vector

_TILE = table_type(TileRecord)
_MAX_ACCUMULATORS = max(
    LANES * block.accumulators for block in REGISTER_BLOCKS if block.channel_block.channel_lanes
)


@jit_inline
def conv_channel_lanes(op, first_tile, end_tile, first, last, arena, inputs):
    """Computes some tiles of groups `first` to `last` with their channels in the vector lanes."""
    indptr, tiles = int_array(op.indptr), record_array(op.tiles, _TILE)
    channels, groups, passes = op.group_channels, op.groups, op.passes
    scratch = np.empty(_MAX_ACCUMULATORS + LANES, np.float32)
    accumulators = scratch.ctypes.data
    residuals = accumulators + 4 * _MAX_ACCUMULATORS
    for number in range(first_tile, end_tile):
        tile = tiles[number]
        if op.packed_input:
            pack_input(op.packed_input, tile.packed_begin, tile.packed_end, arena, inputs)
        block, columns = tile.block, tile.columns
        read = inputs + 4 * (op.input.offset + tile.input)
        for step in range(passes):
            init = op.init if step == 0 else FROM_OUTPUT
            is_last = step == passes - 1
            final = op.final if is_last else PLUS_NOTHING
            clamped = op.relu and is_last and not op.activation
            minimum = np.float32(0.0 if clamped else -inf)
            for group in range(first, last):
                begin = indptr[step * groups + group]
                end = indptr[step * groups + group + 1]
                if begin == end and init == FROM_OUTPUT and not is_last:
                    continue
                channel = group * channels
                stride = op.output.channel_stride
                output = arena + 4 * (op.output.offset + channel * stride + tile.output)
                count = min(channels, op.channels - channel)
                _init_accumulators(init, accumulators, channels, count, columns, output, stride)
                multiply_channel_block(
                    block, accumulators, read, op.offsets, op.weights, begin, end
                )
                if final != PLUS_NOTHING:
                    residual = op.residual.offset + channel * op.residual.channel_stride
                    _add_last(
                        accumulators,
                        channels,
                        count,
                        columns,
                        op.bias + 4 * channel,
                        arena + 4 * (residual + tile.residual) if final == PLUS_RESIDUAL else 0,
                        op.residual.channel_stride,
                        residuals,
                    )
                if op.activation and is_last:
                    parameters = float_array(op.parameters)
                    vectors = columns * (channels // LANES)
                    if op.relu:
                        for vector in range(vectors):
                            clamp_vector(accumulators + 4 * LANES * vector, np.float32(0.0))
                    apply_to_vectors(
                        op.activation, accumulators, vectors, parameters[0], parameters[1]
                    )
                _store_accumulators(minimum, accumulators, channels, count, columns, output, stride)
    # Keeps the array until its address is no longer used.
    scratch[0] = 0.0


@jit_inline
def _init_accumulators(init, accumulators, channels, count, columns, output, stride):
    """Initializes the accumulators, (columns, channels), of `count` channels of a group.

    The others' are never read. `stride` is from one channel of the output to the next.
    """
    for first in range(0, count, LANES):
        for column in range(columns):
            to = accumulators + 4 * (column * channels + first)
            if init == FROM_ZERO:
                fill_vector(to, np.float32(0.0))
            else:
                _gather(to, output + 4 * (first * stride + column), stride, count - first)


@jit_inline
def _add_last(accumulators, channels, count, columns, bias, residual, stride, scratch):
    """Adds the bias, and the residual unless its address is 0, of `count` channels of a group."""
    for first in range(0, count, LANES):
        for column in range(columns):
            to = accumulators + 4 * (column * channels + first)
            add_vector(to, bias + 4 * first)
            if residual:
                _gather(scratch, residual + 4 * (first * stride + column), stride, count - first)
                add_vector(to, scratch)


@jit_inline
def _gather(to, read, stride, count):
    """Fills a vector with the values of `count` channels, or of as many as it has lanes."""
    if count >= LANES:
        gather_strided(to, read, 4 * stride)
    else:
        lanes, values = float_array(to), float_array(read)
        for lane in range(count):
            lanes[lane] = values[lane * stride]


@jit_inline
def _store_accumulators(minimum, accumulators, channels, count, columns, output, stride):
    for first in range(0, count, LANES):
        for column in range(columns):
            read = accumulators + 4 * (column * channels + first)
            to = output + 4 * (first * stride + column)
            if first + LANES <= count:
                scatter_strided(to, read, 4 * stride, minimum)
            else:
                clamp_vector(read, minimum)
                lanes, values = float_array(read), float_array(to)
                for lane in range(count - first):
                    values[lane * stride] = lanes[lane]
