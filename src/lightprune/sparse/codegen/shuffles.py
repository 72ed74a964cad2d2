"""A gather of pixels as shuffles: loads of whole vectors whose lanes are permuted."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.isa.register_blocks import LANES


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
