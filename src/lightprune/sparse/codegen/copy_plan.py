"""Copy plans: gathers of pixels as shuffles of whole vectors, and the channels they apply to."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.codegen.constant_pool import ConstantPool
from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.isa.tables import MAX_SHUFFLES, CopyMode, CopyRun, table_type


@dataclass(frozen=True, eq=False)
class Shuffles:
    """Loads that fill vectors: from where, and which lane goes to which.

    The first shuffle of a vector writes 0 to the lanes it does not fill; the others fill those.

    Attributes:
        vectors: int64 (shuffles,), ascending: the vector that each fills.
        offsets: int64 (shuffles,): from where it loads, in bytes.
        lanes: int32 (shuffles, LANES): by lane the lane it is filled from, or -1.
    """

    vectors: NDArray[np.int64]
    offsets: NDArray[np.int64]
    lanes: NDArray[np.int32]


def plan_shuffles(indices: NDArray[np.int32], alignment: int = 1) -> Shuffles:
    """The shuffles that fill lanes with the pixels of these indices, or with 0 where negative.

    Args:
        indices: (..., a multiple of LANES).
        alignment: Loads start at multiples of so many pixels. `LANES` reads vectors that were
            just written as they were written: a load that overlaps two of them waits until both
            have left the core.
    """
    remaining = indices.reshape(-1, LANES).astype(np.int64)
    pending = np.arange(len(remaining))
    vectors, offsets, lanes = [], [], []
    while len(pending):
        wanted = remaining[pending]
        valid = wanted >= 0
        start = np.where(valid, wanted, np.iinfo(np.int64).max).min(1)
        start[~valid.any(1)] = 0
        start -= start % alignment
        loaded = valid & (wanted - start[:, None] < LANES)
        vectors.append(pending)
        offsets.append(4 * start)
        lanes.append(np.where(loaded, wanted - start[:, None], -1).astype(np.int32))
        remaining[pending] = np.where(loaded, -1, wanted)
        pending = pending[(remaining[pending] >= 0).any(1)]
    filled = np.concatenate(vectors)
    order = np.argsort(filled, kind="stable")
    return Shuffles(filled[order], np.concatenate(offsets)[order], np.concatenate(lanes)[order])


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
    """The channels in which a vector is `used`, (channels, vectors); offsets are in bytes.

    Vectors with the same channels share a list: most have all, and one list stays in the cache.
    """
    lists, index = np.unique(used.T, axis=0, return_inverse=True)
    _, channel = np.nonzero(lists)
    counts = lists.sum(1)
    ends = np.cumsum(counts)
    offsets = np.stack([reads[channel], writes[channel]], axis=1)
    return ChannelOffsets(offsets, (ends - counts)[index], ends[index])


def copy_plan(
    pool: ConstantPool,
    shuffles: Shuffles,
    channels: ChannelOffsets,
    maximum: NDArray[np.bool_] | None = None,
    places: NDArray[np.int64] | None = None,
) -> tuple[int, NDArray[np.int64]]:
    """Plans the copies of some channels by the shuffles that fill the vectors of each.

    Those shuffles that take the maximum, (shuffles,), come after the others of a vector. Vectors
    lie side by side, or at `places` in the channel, (vectors,), in bytes.

    Returns:
        The address of the `CopyRun`s; and int64 (vectors + 1,): which is the first of each vector.
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
    runs["vector_offset"] = 4 * LANES * vectors if places is None else places[vectors]
    runs["n_shuffles"] = np.diff(starts, append=len(rank))
    runs["shuffles"] = pool.address(listed) + listed.strides[0] * starts
    in_use = end > begin
    firsts = np.searchsorted(vectors[in_use], np.arange(len(channels.starts) + 1))
    return pool.address(runs[in_use]), firsts.astype(np.int64)


def _rank_in_group(starts_group: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many elements each lies behind the start of its group."""
    index = np.arange(len(starts_group))
    return index - np.maximum.accumulate(np.where(starts_group, index, 0))
