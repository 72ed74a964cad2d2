"""Weight packing: the non-zero weights of a convolution, as the chosen kernel reads them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightprune.errors import InputError
from lightprune.sparse.codegen.kernel_choice import KernelChoice, expand_groups
from lightprune.sparse.codegen.memory_plan import MemoryPlan
from lightprune.sparse.ir.program import ConvStep
from lightprune.sparse.isa.register_blocks import ChannelBlock


@dataclass(frozen=True, eq=False)
class PackedWeights:
    """The non-zero weights of a convolution, by pass over the input channels and output group.

    Attributes:
        indptr: int64 (passes * groups + 1,): where the entries of each start.
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
    outputs, inputs = weight.shape[:2]
    size = choice.channel_block.channels
    if outputs % size:
        missing = np.zeros((choice.groups * size - outputs, *weight.shape[1:]), np.float32)
        weight = np.concatenate([weight, missing])
    if not choice.channel_block.shared:
        weight = weight[choice.channel_order]
    blocks = weight.reshape(choice.groups, size, inputs, -1)
    channel_stride, taps = plan.tap_offsets(step)
    byte_offsets = 4 * (np.arange(inputs)[:, None] * channel_stride + taps)
    if np.abs(byte_offsets).max() > np.iinfo(np.int32).max:
        raise InputError(
            f"{step.layers[0]}: its input of {plan.buffers[step.input].shape} is too large for the "
            f"sparse runtime: {plan.images_per_vector} image(s) of it take more than 2 GiB"
        )
    offsets = byte_offsets.astype(np.int32)
    pack = _pack_shared if choice.channel_block.shared else _pack_separate
    passes = [
        pack(blocks[:, :, first:end], offsets[first:end])
        for first in range(0, inputs, choice.channels_per_pass)
        for end in [first + choice.channels_per_pass]
    ]
    return PackedWeights(
        choice,
        np.concatenate([[0], np.cumsum(choice.entries)]).astype(np.int64),
        np.ascontiguousarray(np.concatenate([offsets for offsets, _ in passes])),
        np.ascontiguousarray(np.concatenate([weights for _, weights in passes])),
    )


_Packed = tuple[NDArray[np.int32], NDArray[np.float32]]


def _pack_shared(blocks: NDArray[np.float32], offsets: NDArray[np.int32]) -> _Packed:
    group, channel, tap = np.nonzero((blocks != 0).any(1))
    return offsets[channel, tap][:, None], blocks[group, :, channel, tap]


def _pack_separate(blocks: NDArray[np.float32], offsets: NDArray[np.int32]) -> _Packed:
    """A list of the weights of every channel, in a group all as long as the longest."""
    groups, channels = blocks.shape[:2]
    group, member, channel, tap = np.nonzero(blocks)
    list_index = group * channels + member
    lengths = np.bincount(list_index, minlength=groups * channels)
    counts = lengths.reshape(groups, channels).max(1)
    starts = np.cumsum(counts) - counts
    rank = np.arange(len(list_index)) - (np.cumsum(lengths) - lengths)[list_index]
    # Padding reads what some weight reads too: all else may be uninitialized.
    padding = offsets[channel[0], tap[0]] if len(list_index) else 0
    packed = np.full((counts.sum(), channels), padding, np.int32)
    weights = np.zeros(packed.shape, np.float32)
    packed[starts[group] + rank, member] = offsets[channel, tap]
    weights[starts[group] + rank, member] = blocks[group, member, channel, tap]
    return packed, weights
