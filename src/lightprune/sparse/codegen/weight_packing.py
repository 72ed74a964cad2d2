"""The weights of a convolution as the kernels read them: positions, and values of some channels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

from lightprune.errors import InputError
from lightprune.sparse.codegen.cost_model import InputAlignment, block_costs, seconds_per_byte
from lightprune.sparse.codegen.memory_plan import MemoryPlan
from lightprune.sparse.codegen.tiling import Tile, tile
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import ConvStep
from lightprune.sparse.isa.register_blocks import LANES, REGISTER_BLOCKS, ChannelBlock

# What the inputs of one pass may take of the first cache, in bytes: weights pass through it, too.
_L1_BUDGET = 24 * 1024
# Float32 values that are read together, however few are asked for.
_CACHE_LINE = 16
# Weights on an input from which on it is worth keeping it there.
_MIN_REUSE = 12


@dataclass(frozen=True, eq=False)
class KernelChoice:
    """How a convolution is computed with a grouping.

    Attributes:
        grouping: The output channels of a group, and whether they share positions.
        groups: Groups of output channels.
        order: int64 (groups * channels), the output channels of one group after the other. Where
            they have lists of their own and any order does, those of like lengths go together.
        together: Input channels a pass: a part small enough for the first cache.
        tiles: The blocks that the output map is cut into.
        lines: How the inputs lie on cache lines.
        counts: int64 (passes, groups), how many positions there are.
    """

    grouping: ChannelBlock
    groups: int
    order: NDArray[np.int64]
    together: int
    tiles: tuple[Tile, ...]
    lines: InputAlignment
    counts: NDArray[np.int64]

    @cached_property
    def group_seconds(self) -> NDArray[np.float64]:
        """About what a group takes, for one image or `LANES` of them; (groups,)."""
        costs = [block_costs(self.lines)[piece.block] for piece in self.tiles]
        begun = len(self.counts) * sum(cost.begin for cost in costs)
        lists = 1 if self.grouping.shared else self.grouping.channels
        streamed = 4 * (lists + self.grouping.channels) * seconds_per_byte()
        each = sum(max(streamed, cost.position) for cost in costs)
        return np.asarray(self.counts.sum(0) * each + begun, np.float64)


@dataclass(frozen=True, eq=False)
class PackedWeights:
    """The non-zero weights of a convolution, by pass over the input channels and output group.

    Attributes:
        cut: How it is computed.
        segments: int64 (passes * groups + 1), where the positions of each begin.
        offsets: int32 (positions, lists), from the input's origin, in bytes.
        weights: float32 (positions, channels).
    """

    cut: KernelChoice
    segments: NDArray[np.int64]
    offsets: NDArray[np.int32]
    weights: NDArray[np.float32]

    @property
    def grouping(self) -> ChannelBlock:
        """The output channels of a group, and whether they share positions."""
        return self.cut.grouping


def choose_kernel(
    step: ConvStep, layout: MemoryPlan, groupings: Sequence[ChannelBlock]
) -> KernelChoice:
    """How a convolution is computed with the grouping that takes least by measured costs.

    Args:
        step: The convolution.
        layout: Where its values lie.
        groupings: What there is to choose from.
    """
    kept = _expand_groups(step) != 0
    kept = kept.reshape(*kept.shape[:2], -1)
    any_order = not layout.in_order(step.value)
    return min(
        (_kernel_choice(step, layout, grouping, kept, any_order) for grouping in groupings),
        key=lambda cut: cut.group_seconds.sum(),
    )


def pack_weights(step: ConvStep, layout: MemoryPlan, cut: KernelChoice) -> PackedWeights:
    """Lists where the output channels have weights, group by group.

    The order of the input channels and taps is that of the weight tensor whatever the grouping and
    the layout are, so every choice adds up the same numbers in the same order.
    """
    weight = _expand_groups(step)
    outputs, inputs = weight.shape[:2]
    size = cut.grouping.channels
    if outputs % size:
        missing = np.zeros((cut.groups * size - outputs, *weight.shape[1:]), np.float32)
        weight = np.concatenate([weight, missing])
    if not cut.grouping.shared:
        weight = weight[cut.order]
    blocks = weight.reshape(cut.groups, size, inputs, -1)
    out = layout.values[step.value]
    apart, taps = layout.taps(step)
    distances = 4 * (np.arange(inputs)[:, None] * apart + taps)
    if np.abs(distances).max() > np.iinfo(np.int32).max:
        raise InputError(
            f"{step.layers[0]}: its input of {layout.values[step.input].shape} is too large for "
            f"the sparse runtime: what is read of {out.unit} image(s) takes more than 2 GiB"
        )
    offsets = distances.astype(np.int32)
    lists = _pack_shared if cut.grouping.shared else _pack_separate
    found = [
        lists(blocks[:, :, first : first + cut.together], offsets[first : first + cut.together])
        for first in range(0, inputs, cut.together)
    ]
    return PackedWeights(
        cut,
        np.concatenate([[0], np.cumsum(cut.counts)]).astype(np.int64),
        np.ascontiguousarray(np.concatenate([places for places, _ in found])),
        np.ascontiguousarray(np.concatenate([weights for _, weights in found])),
    )


def _kernel_choice(
    step: ConvStep,
    layout: MemoryPlan,
    grouping: ChannelBlock,
    kept: NDArray[np.bool_],
    any_order: bool,
) -> KernelChoice:
    """How a convolution whose `kept` (outputs, inputs, taps) weights are not 0 is computed."""
    out = layout.values[step.value]
    lines = _input_alignment(out.shape) if out.unit == 1 else InputAlignment.WHOLE
    rows, columns = out.grid
    if out.unit == 1:
        columns = ceil(prod(out.shape[1:]) / grouping.stride)
    cut = tile(grouping, rows, columns, lines)
    outputs, inputs, taps = kept.shape
    together = inputs
    if np.count_nonzero(kept) > _MIN_REUSE * inputs * taps:
        together = _channels_per_pass(step, layout, cut[0])
    size = grouping.channels
    groups = ceil(outputs / size)
    starts = np.arange(0, inputs, together)
    order = np.arange(groups * size)
    # By group, input channel: positions of all; or by output, input channel: of each.
    if grouping.shared:
        joined = np.logical_or.reduceat(kept, np.arange(0, outputs, size), axis=0)
        counts = np.add.reduceat(joined.sum(2), starts, axis=1)
    else:
        each = np.zeros((groups * size, len(starts)), np.int64)
        each[:outputs] = np.add.reduceat(kept.sum(2), starts, axis=1)
        if any_order:
            order = np.argsort(each.sum(1), kind="stable")
        counts = each[order].reshape(groups, size, -1).max(1)
    return KernelChoice(grouping, groups, order, together, cut, lines, counts.T.astype(np.int64))


_Packed = tuple[NDArray[np.int32], NDArray[np.float32]]


def _pack_shared(blocks: NDArray[np.float32], offsets: NDArray[np.int32]) -> _Packed:
    """Positions where any channel of a group has a weight: where, and what."""
    group, channel, tap = np.nonzero((blocks != 0).any(1))
    return offsets[channel, tap][:, None], blocks[group, :, channel, tap]


def _pack_separate(blocks: NDArray[np.float32], offsets: NDArray[np.int32]) -> _Packed:
    """Positions of every channel's own weights, all lists of a group as long as the longest."""
    groups, channels = blocks.shape[:2]
    group, member, channel, tap = np.nonzero(blocks)
    of = group * channels + member
    lengths = np.bincount(of, minlength=groups * channels)
    counts = lengths.reshape(groups, channels).max(1)
    begins = np.cumsum(counts) - counts
    rank = np.arange(len(of)) - (np.cumsum(lengths) - lengths)[of]
    # What fills the shorter lists up reads what some weight reads too: all else may be unset.
    filling = offsets[channel[0], tap[0]] if len(of) else 0
    places = np.full((counts.sum(), channels), filling, np.int32)
    weights = np.zeros(places.shape, np.float32)
    places[begins[group] + rank, member] = offsets[channel, tap]
    weights[begins[group] + rank, member] = blocks[group, member, channel, tap]
    return places, weights


def _input_alignment(shape: Shape) -> InputAlignment:
    """How the taps of a row-by-row map lie; a map of one vector has a copy for each of them."""
    _, height, width = shape
    if width % LANES == 0 or height * width <= LANES:
        return InputAlignment.WHOLE
    return InputAlignment.HALF if width % (LANES // 2) == 0 else InputAlignment.ANY


def _expand_groups(step: ConvStep) -> NDArray[np.float32]:
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


def _channels_per_pass(step: ConvStep, layout: MemoryPlan, piece: Tile) -> int:
    """How many input channels fit the first cache while one piece is computed."""
    inputs: int = step.weight.shape[1] * step.groups
    block = REGISTER_BLOCKS[piece.block]
    if layout.unit == 1:
        plane = layout.read_by(step).plane
        planes, within = np.divmod(layout.taps(step)[1], plane)
        lines = ceil((block.columns * block.grouping.stride + int(np.ptp(within))) / _CACHE_LINE)
        size = 4 * len(np.unique(planes)) * min(plane, lines * _CACHE_LINE)
    else:
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
        size = 4 * layout.unit * height * width
    passes = ceil(inputs * size / _L1_BUDGET)
    return ceil(inputs / passes)
