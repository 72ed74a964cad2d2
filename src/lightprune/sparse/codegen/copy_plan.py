"""Copy plans: shuffles, and the channels they apply to, as the kernels read them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.codegen.constant_pool import ConstantPool
from lightprune.sparse.codegen.shuffles import Shuffles
from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.isa.tables import MAX_SHUFFLES, CopyMode, CopyRun, table_type


@dataclass(frozen=True, eq=False)
class ChannelOffsets:
    """The channels in which each vector is filled.

    Attributes:
        offsets: int64 (n, 2): from where a channel is read and where it is written, in bytes.
        starts: int64 (vectors,): the first row of `offsets` for a vector.
        ends: int64 (vectors,): one after the last.
    """

    offsets: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


def single_channel(vectors: int) -> ChannelOffsets:
    """The one channel whose addresses `run_copy_plan` is given."""
    starts = np.zeros(vectors, np.int64)
    return ChannelOffsets(np.zeros((1, 2), np.int64), starts, starts + 1)


def channels_in_use(
    used: NDArray[np.bool_], reads: NDArray[np.int64], writes: NDArray[np.int64]
) -> ChannelOffsets:
    """The channels in which a vector is `used`, (channels, vectors); offsets are in bytes."""
    _, channel = np.nonzero(used.T)
    counts = used.sum(0)
    ends = np.cumsum(counts)
    return ChannelOffsets(np.stack([reads[channel], writes[channel]], axis=1), ends - counts, ends)


def copy_plan(
    pool: ConstantPool,
    shuffles: Shuffles,
    channels: ChannelOffsets,
    maximum: NDArray[np.bool_] | None = None,
) -> tuple[int, int]:
    """Plans the copies of some channels.

    Args:
        pool: Stores the plan.
        shuffles: What fills the vectors of one channel.
        channels: In which channels.
        maximum: (shuffles,): those that take the maximum; after the others of a vector.

    Returns:
        The address of the `CopyRun`s, and how many there are.
    """
    if maximum is None:
        maximum = np.zeros(len(shuffles.vectors), np.bool_)
    starts_group = np.ones(len(shuffles.vectors), np.bool_)
    starts_group[1:] = (np.diff(shuffles.vectors) != 0) | (np.diff(maximum) != 0)
    rank = _rank_in_group(starts_group)
    starts = np.flatnonzero(rank % MAX_SHUFFLES == 0)
    vectors = shuffles.vectors[starts]
    patterns, inverse = np.unique(shuffles.lanes, axis=0, return_inverse=True)
    lanes = pool.address(patterns) + patterns.itemsize * LANES * inverse.reshape(-1)
    listed = np.stack([shuffles.offsets, lanes], axis=1)
    begin, end = channels.starts[vectors], channels.ends[vectors]
    runs = np.zeros(len(starts), table_type(CopyRun))
    runs["mode"] = np.where(
        maximum, CopyMode.MAX, np.where(rank == 0, CopyMode.COPY, CopyMode.FILL)
    )[starts]
    runs["channels"] = end - begin
    runs["channel_offsets"] = pool.address(channels.offsets) + channels.offsets.strides[0] * begin
    runs["vector_offset"] = 4 * LANES * vectors
    runs["n_shuffles"] = np.diff(starts, append=len(rank))
    runs["shuffles"] = pool.address(listed) + listed.strides[0] * starts
    runs = runs[end > begin]
    return pool.address(runs), len(runs)


def _rank_in_group(starts_group: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many elements each lies behind the start of its group."""
    index = np.arange(len(starts_group))
    return index - np.maximum.accumulate(np.where(starts_group, index, 0))
