"""Weight packing: a convolution's non-zero weights and tiles, as the chosen kernel reads them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightprune.errors import InputError
from lightprune.sparse.codegen.kernel_choice import KernelChoice, expand_groups
from lightprune.sparse.codegen.memory_plan import MemoryPlan
from lightprune.sparse.ir.program import ConvStep
from lightprune.sparse.isa.register_blocks import LANES, REGISTER_BLOCKS, ChannelBlock
from lightprune.sparse.isa.tables import TileRecord, table_type


@dataclass(frozen=True, eq=False)
class PackedWeights:
    """The non-zero weights of a convolution, by pass over the input channels and output group.

    Attributes:
        indptr: int64 (entries.size + 1,): where those of each pass, group and kernel row start.
        offsets: int32 (entries, lists): from the input's first pixel, in bytes.
        weights: float32 (entries, channels).
    """

    choice: KernelChoice
    indptr: NDArray[np.int64]
    offsets: NDArray[np.int32]
    weights: NDArray[np.float32]

    @property
    def channel_block(self) -> ChannelBlock:
        """The output channels of a group, and whether they share offsets."""
        return self.choice.channel_block


def pack_weights(step: ConvStep, plan: MemoryPlan, choice: KernelChoice) -> PackedWeights:
    """Packs the weights of a convolution group by group.

    The order of the input channels and taps is that of the weight tensor whatever the kernel and
    the memory plan are, so every choice adds up the same products in the same order.

    Raises:
        InputError: The input is larger than an offset can address.
    """
    weight = expand_groups(step)
    outputs, inputs, rows, columns = weight.shape
    size, chunk = choice.channel_block.channels, choice.channels_per_chunk
    missing = choice.groups * size - outputs, -inputs % chunk
    weight = np.pad(weight, [(0, count) for count in (*missing, 0, 0)])
    if not choice.channel_block.shared:
        weight = weight[choice.channel_order]
    # By chunk and row of the kernel before channel and column.
    blocks = weight.reshape(choice.groups, size, -1, chunk, rows, columns).swapaxes(3, 4)
    channel_stride, taps = plan.tap_offsets(step)
    byte_offsets = 4 * (np.arange(inputs)[:, None] * channel_stride + taps)
    if np.abs(byte_offsets).max() > np.iinfo(np.int32).max:
        raise InputError(
            f"{step.layers[0]}: its input of {plan.buffers[step.input].shape} is too large for the "
            f"sparse runtime: {plan.images_per_vector} image(s) of it take more than 2 GiB"
        )
    offsets = np.pad(byte_offsets.astype(np.int32), [(0, missing[1]), (0, 0)])
    offsets = offsets.reshape(-1, chunk, rows, columns).swapaxes(1, 2)
    pack = _pack_shared if choice.channel_block.shared else _pack_separate
    passes = [
        pack(blocks[:, :, first:end], offsets[first:end])
        for first in range(0, len(offsets), choice.channels_per_pass // chunk)
        for end in [first + choice.channels_per_pass // chunk]
    ]
    return PackedWeights(
        choice,
        np.concatenate([[0], np.cumsum(choice.entries)]).astype(np.int64),
        np.ascontiguousarray(np.concatenate([offsets for offsets, _ in passes])),
        np.ascontiguousarray(np.concatenate([weights for _, weights in passes])),
    )


def tile_records(step: ConvStep, plan: MemoryPlan, choice: KernelChoice) -> NDArray[np.void]:
    """The tiles of a convolution, as the kernel reads them."""
    output, read = plan.buffers[step.value], plan.input_buffer(step)
    residual = plan.buffers[step.residual] if step.residual else output
    pixels = choice.channel_block.pixels_per_vector
    records = []
    for tile, rows in zip(choice.tiles, choice.tap_rows, strict=True):
        block = REGISTER_BLOCKS[tile.block]
        strides = (buffer.row_stride for buffer in (output, read, residual))
        offsets = (tile.row * stride + tile.column * pixels for stride in strides)
        records.append((tile.block, *offsets, block.columns, block.rows, *rows, 0, 1))
    table = np.array(records, table_type(TileRecord))
    if plan.images_per_vector == 1 and step.value in plan.packed_inputs:
        # What is packed of a plane begins with the band.
        band, first = plan.bands.get(step.value), table["input"].copy()
        start = first // band * band if band else 0
        reach = (plan.tap_offsets(step)[1] % read.channel_stride).max()
        end = -(-(first + table["columns"] * pixels + reach) // LANES)
        table["packed_begin"] = start // LANES
        table["packed_end"] = np.minimum(end, read.vectors)
        table["input"] = first - start
    return table


def band_tiles(choice: KernelChoice, band: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The tiles of each band of so many pixels.

    Returns:
        (bands + 1,): the first tile of each, and how many there are; (bands,): its share of all.
    """
    columns = np.array([tile.column for tile in choice.tiles])
    firsts = np.flatnonzero(
        np.diff(columns // (band // choice.channel_block.pixels_per_vector), prepend=-1)
    )
    widths = [REGISTER_BLOCKS[tile.block].columns for tile in choice.tiles]
    return np.append(firsts, len(columns)), np.add.reduceat(widths, firsts) / sum(widths)


_Packed = tuple[NDArray[np.int32], NDArray[np.float32]]


def _pack_shared(blocks: NDArray[np.float32], offsets: NDArray[np.int32]) -> _Packed:
    group, *place = np.nonzero((blocks != 0).any(1))
    return offsets[tuple(place)][:, None], np.moveaxis(blocks, 1, -1)[(group, *place)]


def _pack_separate(blocks: NDArray[np.float32], offsets: NDArray[np.int32]) -> _Packed:
    """A list of the weights of every channel, in a group all as long as the longest."""
    groups, channels = blocks.shape[:2]
    group, member, *place = np.nonzero(blocks)
    list_index = group * channels + member
    lengths = np.bincount(list_index, minlength=groups * channels)
    counts = lengths.reshape(groups, channels).max(1)
    starts = np.cumsum(counts) - counts
    rank = np.arange(len(list_index)) - (np.cumsum(lengths) - lengths)[list_index]
    # Padding reads what some weight reads too: all else may be uninitialized.
    padding = offsets[tuple(index[0] for index in place)] if len(list_index) else 0
    packed = np.full((counts.sum(), channels), padding, np.int32)
    weights = np.zeros(packed.shape, np.float32)
    packed[starts[group] + rank, member] = offsets[tuple(place)]
    weights[starts[group] + rank, member] = blocks[(group, member, *place)]
    return packed, weights
