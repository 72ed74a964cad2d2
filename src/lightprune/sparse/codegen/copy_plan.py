"""Runs: the moves of a vector, for the channels that need it, as the kernels read them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.codegen.constant_pool import ConstantPool
from lightprune.sparse.codegen.shuffles import Shuffles
from lightprune.sparse.isa import instruction as c
from lightprune.sparse.isa.register_blocks import LANES


@dataclass(frozen=True, eq=False)
class ChannelOffsets:
    """The channels that every vector is needed for.

    Attributes:
        places: int64 (n, 2), in bytes from where a channel is read and where it is written.
        begins: int64 (vectors,), the first that a vector is needed for.
        ends: int64 (vectors,), one after the last.
    """

    places: NDArray[np.int64]
    begins: NDArray[np.int64]
    ends: NDArray[np.int64]


def single_channel(vectors: int) -> ChannelOffsets:
    """The one that `move_vectors` is given the addresses of."""
    begins = np.zeros(vectors, np.int64)
    return ChannelOffsets(np.zeros((1, 2), np.int64), begins, begins + 1)


def channels_in_use(
    needed: NDArray[np.bool_], reads: NDArray[np.int64], writes: NDArray[np.int64]
) -> ChannelOffsets:
    """Those for which a vector is needed.

    Args:
        needed: (channels, vectors).
        reads: From where each channel is read, in bytes.
        writes: Where each channel is written.
    """
    _, channel = np.nonzero(needed.T)
    ends = np.cumsum(needed.sum(0))
    return ChannelOffsets(
        np.stack([reads[channel], writes[channel]], axis=1), ends - needed.sum(0), ends
    )


def copy_plan(
    pool: ConstantPool,
    moves: Shuffles,
    channels: ChannelOffsets,
    folded: NDArray[np.bool_] | None = None,
) -> c.Fields:
    """The columns of an operation that lead to its runs.

    Args:
        pool: Keeps the runs.
        moves: What fills the vectors of one channel.
        channels: Which of them have that vector.
        folded: (moves,), those that only raise what is there; after the others of a vector.
    """
    if folded is None:
        folded = np.zeros(len(moves.vectors), np.bool_)
    first = np.ones(len(moves.vectors), np.bool_)
    first[1:] = (np.diff(moves.vectors) != 0) | (np.diff(folded) != 0)
    rank = _rank_in_group(first)
    starts = np.flatnonzero(rank % c.MAX_SHUFFLES == 0)
    kinds = np.where(folded, c.MAX, np.where(rank == 0, c.COPY, c.FILL))[starts]
    vectors = moves.vectors[starts]
    patterns, alike = np.unique(moves.lanes, axis=0, return_inverse=True)
    lanes = pool.address(patterns) + patterns.itemsize * LANES * alike.reshape(-1)
    listed = np.stack([moves.places, lanes], axis=1)
    begin, end = channels.begins[vectors], channels.ends[vectors]
    table = np.stack(
        [
            kinds,
            end - begin,
            pool.address(channels.places) + channels.places.strides[0] * begin,
            4 * LANES * vectors,
            np.diff(starts, append=len(rank)),
            pool.address(listed) + listed.strides[0] * starts,
        ],
        axis=1,
    )[end > begin]
    return {c.RUNS: pool.address(table), c.N_RUNS: len(table)}


def _rank_in_group(first: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many places each lies behind the last that is first."""
    places = np.arange(len(first))
    return places - np.maximum.accumulate(np.where(first, places, 0))
