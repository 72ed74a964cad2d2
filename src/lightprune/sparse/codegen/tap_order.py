"""Tap order: in which order products are added up, and which of them a tile leaves out as zero."""

from math import ceil, prod
from typing import NamedTuple

import numpy as np

from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import ConvStep
from lightprune.sparse.isa.register_blocks import LANES

# What a tile of so many vectors may read of a chunk's inputs with images in lanes, in bytes: near
# caches are to hold it. Chunks that fit the first one would have too few weights each.
_CHUNK_BYTES = 64 * 1024
_TILE_VECTORS, _TILE_COLUMNS = 16, 8
# Weights an input from which on it is worth keeping it near.
_MIN_REUSE = 12


class TapRows(NamedTuple):
    """The rows of a kernel that meet data in a tile; those before and after read zeros only.

    Rows from `begin` to `whole` read zeros for the tile's first row, at least, and those from
    `rest` to `end` for its last one.
    """

    begin: int = 0
    whole: int = 0
    rest: int = 1
    end: int = 1


ALL_ROWS = TapRows()
"""Of a kernel whose rows are not told apart."""


def tap_rows(step: ConvStep, in_shape: Shape, first: int, last: int) -> TapRows:
    """The rows of a kernel that meet data in the output's rows from `first` to `last`."""
    before, stride = step.padding[0][0], step.stride[0]
    taps = np.arange(step.weight.shape[2]) * step.dilation[0] - before
    of_first, of_last = taps + first * stride, taps + last * stride
    end = int(np.count_nonzero(of_first < in_shape[1]))
    begin, whole, rest = (
        min(end, int(np.count_nonzero(inside)))
        for inside in (of_last < 0, of_first < 0, of_last < in_shape[1])
    )
    return TapRows(begin, whole, max(whole, rest), end)


def channels_per_chunk(step: ConvStep, out_shape: Shape) -> int:
    """Input channels whose products are added up row by row of the kernel, before the next ones'.

    Every kernel adds up in this order, whatever is chosen: a number of threads or of images changes
    no bit, nor does a machine with vectors as long.
    """
    kernel = step.weight.shape[2:]
    inputs = int(step.weight.shape[1]) * step.groups
    if np.count_nonzero(step.weight) <= _MIN_REUSE * inputs * prod(kernel):
        return inputs
    columns = min(_TILE_COLUMNS, out_shape[2])
    rows = min(_TILE_VECTORS // columns, out_shape[1])
    height, width = (
        (extent - 1) * stride + (taps - 1) * dilation + 1
        for extent, stride, taps, dilation in zip(
            (rows, columns), step.stride, kernel, step.dilation, strict=True
        )
    )
    chunks: int = ceil(inputs * 4 * LANES * height * width / _CHUNK_BYTES)
    return ceil(inputs / chunks)
