"""The convolution kernel: non-zero weights times inputs, for a range of groups or of bands."""

from functools import cache
from math import inf

import numpy as np
from numba import types

from lightprune.sparse.isa.instruction import ConvInstruction
from lightprune.sparse.isa.records import record_type
from lightprune.sparse.isa.register_blocks import FROM_OUTPUT, LANES, PLUS_NOTHING
from lightprune.sparse.isa.tables import TileRecord, table_type
from lightprune.sparse.jit.compile import compile_to_address, jit_inline
from lightprune.sparse.jit.pointers import float_array, int_array, record_array, record_at
from lightprune.sparse.kernels.activations import apply_to_narrow_vectors, apply_to_vectors
from lightprune.sparse.kernels.conv_small_maps import conv_channel_lanes
from lightprune.sparse.kernels.copying import pack_input
from lightprune.sparse.kernels.microkernel import multiply_block

_CONV = record_type(ConvInstruction)
_TILE = table_type(TileRecord)


@cache
def conv_kernel() -> int:
    """The address of the compiled kernel.

    It takes int64: the address of a `ConvInstruction` record, the first group or band, the one
    after the last, the addresses of the arena and of this thread's private one.
    """
    return compile_to_address(_conv, types.void(*(types.int64,) * 5))


def _conv(instruction, first, last, arena, private_arena):
    op = record_at(instruction, _CONV)
    # Every thread packs for itself: the copies are larger than what they are copied from, and to
    # get them from another core takes longer.
    inputs = private_arena if op.packed_input else arena
    tile, end_tile = 0, op.n_tiles
    if op.bands:
        bands = int_array(op.bands)
        tile, end_tile = bands[first], bands[last]
        first, last = 0, op.groups
    if op.channel_lanes:
        conv_channel_lanes(op, tile, end_tile, first, last, arena, inputs)
    else:
        _conv_pixel_lanes(op, tile, end_tile, first, last, arena, inputs)


@jit_inline
def _conv_pixel_lanes(op, first_tile, end_tile, first, last, arena, inputs):
    indptr, tiles = int_array(op.indptr), record_array(op.tiles, _TILE)
    channels, groups, passes = op.group_channels, op.groups, op.passes
    for number in range(first_tile, end_tile):
        tile = tiles[number]
        if op.packed_input:
            pack_input(op.packed_input, tile.packed_begin, tile.packed_end, arena, inputs)
        block = tile.block
        output = arena + 4 * (op.output.offset + tile.output)
        read = inputs + 4 * (op.input.offset + tile.input)
        residual = arena + 4 * (op.residual.offset + tile.residual)
        for step in range(passes):
            init = op.init if step == 0 else FROM_OUTPUT
            is_last = step == passes - 1
            final = op.final if is_last else PLUS_NOTHING
            minimum = np.float32(0.0 if op.relu and is_last else -inf)
            for group in range(first, last):
                starts = (step * groups + group) * op.kernel_rows
                begin = indptr[starts + tile.begin]
                end = indptr[starts + tile.end]
                if begin == end and init == FROM_OUTPUT and not is_last:
                    continue
                channel = group * channels
                multiply_block(
                    block,
                    init,
                    final,
                    (output, op.output.row_stride, op.output.channel_stride),
                    (residual, op.residual.row_stride, op.residual.channel_stride),
                    (op.channel_order + 8 * channel, op.bias + 4 * channel),
                    (read, op.input.row_stride),
                    (op.offsets, op.weights, begin, end),
                    (op.indptr + 8 * starts, tile.whole, tile.rest),
                    minimum,
                )
                if op.activation and is_last:
                    _activate(op, tile, channel, output)


@jit_inline
def _activate(op, tile, first, output):
    """Applies the activation to a tile of a group of channels that is still in the cache."""
    order, parameters = int_array(op.channel_order), float_array(op.parameters)
    for member in range(first, first + op.group_channels):
        for row in range(tile.rows):
            to = output + 4 * (
                order[member] * op.output.channel_stride + row * op.output.row_stride
            )
            if op.lanes == LANES:
                apply_to_vectors(op.activation, to, tile.columns, parameters[0], parameters[1])
            else:
                apply_to_narrow_vectors(
                    op.activation, to, tile.columns, parameters[0], parameters[1]
                )
