"""Kernel choice: channel block, tiles and passes of a convolution, by estimated cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.codegen.cost_model import InputAlignment, block_costs, seconds_per_byte
from lightprune.sparse.codegen.memory_plan import MemoryPlan
from lightprune.sparse.codegen.tap_order import ALL_ROWS, TapRows, channels_per_chunk, tap_rows
from lightprune.sparse.codegen.tiling import Tile, tile
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import ConvStep
from lightprune.sparse.isa.register_blocks import CACHE_LINE, LANES, REGISTER_BLOCKS, ChannelBlock

# What a tile of a single image may read in one pass, in bytes: about what fits the L1 cache where
# so many weights a channel are left in each, else more, since a pass loads and stores all outputs.
_NEAR_BYTES, _NEAR_WEIGHTS = 40 * 1024, 80
_PASS_BYTES = 64 * 1024
# Columns of a tile where a wider one would read more than that even of one chunk of channels.
_NEAR_COLUMNS = 8


@dataclass(frozen=True, eq=False)
class KernelChoice:
    """How a convolution is computed with a channel block.

    Attributes:
        channel_order: int64 (groups * channels,): the output channels, one group after the other.
            With a list a channel, and where any order will do, those of like lengths share a group.
        channels_per_chunk: Input channels that are added up row by row of the kernel.
        channels_per_pass: Input channels a pass: a part that is read from near caches.
        tap_rows: The rows of the kernel that each tile multiplies with.
        entries: int64 (passes, groups, rows of the kernel): how many there are; (passes, groups, 1)
            where rows are not told apart.
    """

    channel_block: ChannelBlock
    groups: int
    channel_order: NDArray[np.int64]
    channels_per_chunk: int
    channels_per_pass: int
    tiles: tuple[Tile, ...]
    tap_rows: tuple[TapRows, ...]
    alignment: InputAlignment
    entries: NDArray[np.int64]

    @cached_property
    def group_seconds(self) -> NDArray[np.float64]:
        """The estimated cost of each group, for one image or `LANES` of them; (groups,)."""
        costs = [block_costs(self.alignment)[tile.block] for tile in self.tiles]
        startup = len(self.entries) * sum(cost.startup for cost in costs)
        entry_bytes = 4 * (self.channel_block.lists + self.channel_block.channels)
        streaming = entry_bytes * seconds_per_byte()
        per_entry = np.zeros(self.entries.shape[2])
        for tile_, rows, cost in zip(self.tiles, self.tap_rows, costs, strict=True):
            seconds = max(streaming, cost.per_entry)
            height = REGISTER_BLOCKS[tile_.block].rows
            partly = seconds * max(1, height - 1) / height
            per_entry[rows.begin : rows.whole] += partly
            per_entry[rows.whole : rows.rest] += seconds
            per_entry[rows.rest : rows.end] += partly
        return np.asarray(self.entries.sum(0) @ per_entry + startup, np.float64)


def choose_kernel(
    step: ConvStep, plan: MemoryPlan, channel_blocks: Sequence[ChannelBlock]
) -> KernelChoice:
    """The cheapest way to compute a convolution with one of the blocks, by measured costs."""
    nonzero = expand_groups(step) != 0
    any_order = not plan.keeps_channel_order(step.value)
    chunk = channels_per_chunk(step, plan.buffers[step.value].shape)
    return min(
        (_kernel_choice(step, plan, block, nonzero, any_order, chunk) for block in channel_blocks),
        key=lambda choice: choice.group_seconds.sum(),
    )


def _kernel_choice(
    step: ConvStep,
    plan: MemoryPlan,
    channel_block: ChannelBlock,
    nonzero: NDArray[np.bool_],
    any_order: bool,
    chunk: int,
) -> KernelChoice:
    out = plan.buffers[step.value]
    rows, columns = out.vector_grid
    outputs, inputs = nonzero.shape[:2]
    if plan.images_per_vector == 1:
        alignment = _input_alignment(out.shape)
        tiles = _single_image_tiles(step, plan, channel_block, alignment, chunk)
        passes = _passes(inputs * _channel_bytes(step, plan, tiles[0]), nonzero.sum() / outputs)
        channels_per_pass = chunk * ceil(ceil(inputs / chunk) / passes)
    else:
        alignment, channels_per_pass = InputAlignment.ALIGNED, chunk
        tiles = tile(channel_block, rows, columns, alignment)
    size = channel_block.channels
    if size == 1 and plan.images_per_vector > 1:
        in_shape = plan.buffers[step.input].shape
        by_tile = tuple(tap_rows(step, in_shape, tile_.row, tile_.last_row) for tile_ in tiles)
    else:
        by_tile = (ALL_ROWS,) * len(tiles)
        nonzero = nonzero.reshape(outputs, inputs, 1, -1)
    groups = ceil(outputs / size)
    starts = np.arange(0, inputs, channels_per_pass)
    order = np.arange(groups * size)
    if channel_block.shared:
        used = np.logical_or.reduceat(nonzero, np.arange(0, outputs, size), axis=0)
        entries = np.add.reduceat(used.sum(3), starts, axis=1)
    else:
        lengths = np.zeros((groups * size, len(starts)), np.int64)
        lengths[:outputs] = np.add.reduceat(nonzero.sum((2, 3)), starts, axis=1)
        if any_order:
            order = np.argsort(lengths.sum(1), kind="stable")
        entries = lengths[order].reshape(groups, size, -1).max(1)[..., None]
    entries = entries.swapaxes(0, 1).astype(np.int64)
    return KernelChoice(
        channel_block, groups, order, chunk, channels_per_pass, tiles, by_tile, alignment, entries
    )


def _input_alignment(shape: Shape) -> InputAlignment:
    """That of the taps of a row-by-row map; a map of one vector has a copy for each of them."""
    _, height, width = shape
    if width % LANES == 0 or height * width <= LANES:
        return InputAlignment.ALIGNED
    return InputAlignment.HALF if width % (LANES // 2) == 0 else InputAlignment.UNALIGNED


def expand_groups(step: ConvStep) -> NDArray[np.float32]:
    """The weight (O, C, kh, kw) of the same convolution in one group."""
    weight = np.asarray(step.weight, np.float32)
    if step.groups == 1:
        return weight
    outputs, *rest = weight.shape
    grouped = weight.reshape(step.groups, -1, *rest)
    expanded = np.zeros((*grouped.shape[:2], step.groups, *rest), np.float32)
    group = np.arange(step.groups)
    expanded[group, :, group] = grouped
    return expanded.reshape(outputs, -1, *rest[1:])


def _single_image_tiles(
    step: ConvStep,
    plan: MemoryPlan,
    channel_block: ChannelBlock,
    alignment: InputAlignment,
    chunk: int,
) -> tuple[Tile, ...]:
    """Tiles that read a chunk of channels from the first cache, where narrower ones do."""
    pixels = channel_block.pixels_per_vector
    columns = ceil(prod(plan.buffers[step.value].shape[1:]) / pixels)
    band = plan.bands.get(step.value, 0) // pixels
    tiles = tile(channel_block, 1, columns, alignment, band)
    too_wide = chunk * _channel_bytes(step, plan, tiles[0]) > _NEAR_BYTES
    if too_wide and band % _NEAR_COLUMNS == 0:  # No tile may reach across the border of two bands.
        near = tile(channel_block, 1, columns, alignment, _NEAR_COLUMNS)
        if chunk * _channel_bytes(step, plan, near[0]) <= _NEAR_BYTES:
            return near
    return tiles


def _passes(input_bytes: int, weights: float) -> int:
    """Into about how many passes a tile's inputs are split.

    `weights` are those of an output channel that are not zero, on average.
    """
    near = ceil(input_bytes / _NEAR_BYTES)
    return near if weights >= near * _NEAR_WEIGHTS else ceil(input_bytes / _PASS_BYTES)


def _channel_bytes(step: ConvStep, plan: MemoryPlan, tile: Tile) -> int:
    """What a tile of a single image reads of an input channel, in whole cache lines."""
    block = REGISTER_BLOCKS[tile.block]
    stride = plan.input_buffer(step).channel_stride
    planes, within = np.divmod(plan.tap_offsets(step)[1], stride)
    pixels = block.columns * block.channel_block.pixels_per_vector
    # Of taps that are farther apart than a tile is wide, each reads pixels of its own.
    pixels += int(np.minimum(np.diff(np.unique(within)), pixels).sum())
    lines = ceil(4 * pixels / CACHE_LINE)
    return len(np.unique(planes)) * min(4 * int(stride), lines * CACHE_LINE)
