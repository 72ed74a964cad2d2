"""The weights of a convolution as the kernels read them: positions, and values of some channels."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from lightprune.errors import InputError
from lightprune.sparse.blocks import BLOCKS, LANES, Grouping
from lightprune.sparse.layout import Layout
from lightprune.sparse.nodes import Shape
from lightprune.sparse.pieces import Piece, cycles, pieces
from lightprune.sparse.program import ConvStep

# What the inputs of one pass may take of the first cache, in bytes.
_FIRST_CACHE = 32 * 1024
# Cycles to begin and to end one block, besides its positions.
_EVERY_BLOCK = 40.0


@dataclass(frozen=True, eq=False)
class Positions:
    """The non-zero weights of a convolution, by pass over the input channels and output group.

    Attributes:
        grouping: The output channels of a group, and whether they share positions.
        groups: Groups of output channels.
        passes: Parts of the input channels, each small enough for the first cache.
        segments: int64 (passes * groups + 1), where the positions of each begin.
        offsets: int32 (positions, lists), from the input's origin, in bytes.
        weights: float32 (positions, channels).
        pieces: The blocks that the output map is cut into.
        load: What loading a vector of inputs costs.
    """

    grouping: Grouping
    groups: int
    passes: int
    segments: NDArray[np.int64]
    offsets: NDArray[np.int32]
    weights: NDArray[np.float32]
    pieces: tuple[Piece, ...]
    load: float

    @cached_property
    def group_cycles(self) -> NDArray[np.float64]:
        """About what a group costs, for one image or `LANES` of them; (groups,)."""
        counts = np.diff(self.segments).reshape(self.passes, self.groups).sum(0)
        every = sum(cycles(BLOCKS[piece.block], self.load) for piece in self.pieces)
        begun = self.passes * len(self.pieces) * _EVERY_BLOCK
        return np.asarray(counts * every + begun, np.float64)


def positions(step: ConvStep, layout: Layout, grouping: Grouping) -> Positions:
    """Lists where the output channels have weights, group by group.

    The order of the input channels and taps is that of the weight tensor whatever the grouping and
    the layout are, so every choice adds up the same numbers in the same order.
    """
    weight = _ungrouped(step)
    outputs, inputs, *kernel = weight.shape
    groups = ceil(outputs / grouping.channels)
    blocks = np.zeros((groups, grouping.channels, inputs, kernel[0] * kernel[1]), np.float32)
    blocks.reshape(-1, *blocks.shape[2:])[:outputs] = weight.reshape(outputs, inputs, -1)
    out = layout.values[step.value]
    load = _load(out.shape) if out.unit == 1 else 1.0
    cut = pieces(grouping, *out.grid, load)
    apart, taps = layout.taps(step)
    distances = 4 * (np.arange(inputs)[:, None] * apart + taps)
    if np.abs(distances).max() > np.iinfo(np.int32).max:
        raise InputError(
            f"{step.layers[0]}: its input of {layout.values[step.input].shape} is too large for "
            f"the sparse runtime: {out.unit} image(s) at once take more than 2 GiB"
        )
    offsets = distances.astype(np.int32)
    together = _channels_a_pass(step, apart, out.unit, cut)
    lists = _shared if grouping.shared else _separate
    found = [
        lists(blocks[:, :, first : first + together], offsets[first : first + together])
        for first in range(0, inputs, together)
    ]
    counts = np.concatenate([count for count, _, _ in found])
    return Positions(
        grouping,
        groups,
        len(found),
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.ascontiguousarray(np.concatenate([places for _, places, _ in found])),
        np.ascontiguousarray(np.concatenate([weights for _, _, weights in found])),
        cut,
        load,
    )


_Lists = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]


def _shared(blocks: NDArray[np.float32], offsets: NDArray[np.int32]) -> _Lists:
    """Positions where any channel of a group has a weight: how many a group, where, and what."""
    group, channel, tap = np.nonzero((blocks != 0).any(1))
    counts = np.bincount(group, minlength=len(blocks))
    return counts, offsets[channel, tap][:, None], blocks[group, :, channel, tap]


def _separate(blocks: NDArray[np.float32], offsets: NDArray[np.int32]) -> _Lists:
    """Positions of every channel's own weights, all lists of a group as long as the longest."""
    groups, channels = blocks.shape[:2]
    group, member, channel, tap = np.nonzero(blocks)
    of = group * channels + member
    lengths = np.bincount(of, minlength=groups * channels)
    counts = lengths.reshape(groups, channels).max(1)
    begins = np.cumsum(counts) - counts
    rank = np.arange(len(of)) - (np.cumsum(lengths) - lengths)[of]
    places = np.full((counts.sum(), channels), offsets.flat[0], np.int32)
    weights = np.zeros(places.shape, np.float32)
    places[begins[group] + rank, member] = offsets[channel, tap]
    weights[begins[group] + rank, member] = blocks[group, member, channel, tap]
    return counts, places, weights


def _load(shape: Shape) -> float:
    """What loading a vector of a row-by-row map costs: rows begin within cache lines."""
    _, height, width = shape
    if width % LANES == 0 or height * width <= LANES:
        return 1.0
    return 1.4 if width % (LANES // 2) == 0 else 1.8


def _ungrouped(step: ConvStep) -> NDArray[np.float32]:
    """The weight (O, C, kh, kw) of the same convolution in one group."""
    weight = np.asarray(step.weight, np.float32)
    if step.groups == 1:
        return weight
    outputs, inputs, *kernel = weight.shape
    whole = np.zeros((outputs, inputs * step.groups, *kernel), np.float32)
    size = outputs // step.groups
    for group in range(step.groups):
        rows = slice(group * size, (group + 1) * size)
        whole[rows, group * inputs : (group + 1) * inputs] = weight[rows]
    return whole


def _channels_a_pass(step: ConvStep, apart: int, unit: int, cut: tuple[Piece, ...]) -> int:
    """How many input channels fit the first cache while one piece is computed."""
    inputs: int = step.weight.shape[1] * step.groups
    if unit == 1:
        size = 4 * apart
    else:
        block = BLOCKS[cut[0].block]
        height, width = (
            (extent - 1) * stride + (kernel - 1) * dilation + 1
            for extent, stride, kernel, dilation in zip(
                (block.rows, block.columns),
                step.stride,
                step.weight.shape[2:],
                step.dilation,
                strict=True,
            )
        )
        size = 4 * unit * height * width
    passes = ceil(inputs * size / _FIRST_CACHE)
    return ceil(inputs / passes)
