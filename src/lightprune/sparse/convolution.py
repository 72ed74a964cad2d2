"""Convolution in the sparse runtime, compiled by Numba: on a range of groups of channels."""

from functools import cache
from math import inf

import numpy as np
from numba import types

from lightprune.sparse.blocks import FROM_OUTPUT
from lightprune.sparse.columns import (
    ADDED,
    ADDED_PLANE,
    ADDED_ROW,
    BIAS,
    CHANNELS,
    GROUP_CHANNELS,
    GROUPS,
    IN,
    IN_ROW,
    N_PIECES,
    OFFSETS,
    OUT,
    OUT_PLANE,
    OUT_ROW,
    PASSES,
    PIECES,
    RELU,
    SEGMENTS,
    SORTED,
    STAMP,
    START,
    WEIGHTS,
)
from lightprune.sparse.compiled import address_of
from lightprune.sparse.copying import copy_planes, sort
from lightprune.sparse.memory import integers
from lightprune.sparse.multiply import multiply_block


@cache
def convolution() -> int:
    """The address of the code that carries out a convolution.

    It takes int64: the address of the operation's row, the first group, the one after the last,
    the addresses of the arena and of this thread's own, and how many float32 values a position is.
    """
    return address_of(_convolve, types.void(*(types.int64,) * 6))


def _convolve(row, first, last, arena, own, unit):
    op = integers(row)
    segments, pieces = integers(op[SEGMENTS]), integers(op[PIECES])
    channels, groups, passes = op[GROUP_CHANNELS], op[GROUPS], op[PASSES]
    inputs = arena
    if op[SORTED]:
        inputs = own
        sorting = integers(op[SORTED])
        stamps = integers(own)
        if not stamps[sorting[STAMP]]:
            # Every thread sorts for itself: the copies are larger than what they are copied from,
            # and to get them from another core takes longer.
            if unit == 1:
                copy_planes(sorting, 0, sorting[CHANNELS], arena, own)
            else:
                sort(sorting, arena, own)
            stamps[sorting[STAMP]] = 1
    for piece in range(op[N_PIECES]):
        block = pieces[4 * piece]
        output = arena + 4 * (op[OUT] + pieces[4 * piece + 1])
        read = inputs + 4 * (op[IN] + pieces[4 * piece + 2])
        residual = arena + 4 * (op[ADDED] + pieces[4 * piece + 3])
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
                    output + 4 * channel * op[OUT_PLANE],
                    op[OUT_ROW],
                    op[OUT_PLANE],
                    residual + 4 * channel * op[ADDED_PLANE],
                    op[ADDED_ROW],
                    op[ADDED_PLANE],
                    op[BIAS] + 4 * channel,
                    read,
                    op[IN_ROW],
                    op[OFFSETS],
                    op[WEIGHTS],
                    begin,
                    end,
                    least,
                )
