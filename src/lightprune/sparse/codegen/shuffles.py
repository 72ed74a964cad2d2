"""Positions collected from anywhere as moves of whole vectors, each with its lanes permuted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.isa.register_blocks import LANES


@dataclass(frozen=True, eq=False)
class Shuffles:
    """What fills vectors with positions: from where each is read, and which lane goes to which.

    The first move of a vector leaves 0 where it has no lane to fill, the next ones fill those up.

    Attributes:
        vectors: int64 (moves,), ascending, the vector that each of them fills.
        places: int64 (moves,), from where, in bytes.
        lanes: int32 (moves, LANES), by lane the lane that it is filled from, or -1.
    """

    vectors: NDArray[np.int64]
    places: NDArray[np.int64]
    lanes: NDArray[np.int32]


def plan_shuffles(indices: NDArray[np.int32], step: int = 1) -> Shuffles:
    """The moves that fill lanes with the positions of these numbers, and with 0 where negative.

    Args:
        indices: (..., a multiple of LANES).
        step: Moves begin at multiples of so many positions. `LANES` reads vectors that were
            written just before as they were written, where rows fill them: one that overlaps
            two waits until both have left the core.
    """
    left = indices.reshape(-1, LANES).astype(np.int64)
    pending = np.arange(len(left))
    vectors, places, lanes = [], [], []
    while len(pending):
        rest = left[pending]
        there = rest >= 0
        first = np.where(there, rest, np.iinfo(np.int64).max).min(1)
        first[~there.any(1)] = 0
        first -= first % step
        near = there & (rest - first[:, None] < LANES)
        vectors.append(pending)
        places.append(4 * first)
        lanes.append(np.where(near, rest - first[:, None], -1).astype(np.int32))
        left[pending] = np.where(near, -1, rest)
        pending = pending[(left[pending] >= 0).any(1)]
    filled = np.concatenate(vectors)
    order = np.argsort(filled, kind="stable")
    return Shuffles(filled[order], np.concatenate(places)[order], np.concatenate(lanes)[order])
