"""What instructions refer to: tensors in the arena, tables of tiles, plans of vector copies.

All values are int64. Addresses and byte offsets say so; others count float32 values.
"""

from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np

MAX_SHUFFLES = 4
"""Shuffles in one `CopyRun`; a vector that needs more takes several runs."""


class CopyMode(IntEnum):
    """What the lanes become that no shuffle of a `CopyRun` fills.

    COPY writes 0 there, FILL leaves them; MAX takes in every lane the maximum of its old value and
    of all that is shuffled there.
    """

    COPY = 0
    FILL = 1
    MAX = 2


class View(NamedTuple):
    """A tensor in the arena.

    Attributes:
        offset: From the arena's start to the first pixel of channel 0; -1 for no tensor.
        width: Float32 values in a row: pixels times images per vector.
    """

    offset: int
    channel_stride: int = 0
    row_stride: int = 0
    height: int = 0
    width: int = 0


NO_VIEW = View(-1)


class TileRecord(NamedTuple):
    """One tile of a convolution's output map.

    Output, input and residual are offsets that count from the views' first pixels.

    Attributes:
        block: Index in `REGISTER_BLOCKS`.
        columns: Vectors, or pixels, side by side.
        rows: Rows of vectors.
        begin: The first row of the kernel that it multiplies with.
        whole: The first one that its first row of vectors takes part in, too.
        rest: The first one from there on that its last row takes no part in.
        end: One after the last row of the kernel that it multiplies with.
        packed_begin: The first vector of each plane of a packed input that is packed.
        packed_end: One after the last that it reads.
    """

    block: int
    output: int
    input: int
    residual: int
    columns: int
    rows: int
    begin: int = 0
    whole: int = 0
    rest: int = 1
    end: int = 1
    packed_begin: int = 0
    packed_end: int = 1


class CopyRun(NamedTuple):
    """Vectors that are filled alike, one a channel.

    Attributes:
        channel_offsets: Address of int64 (channels, 2): where each is read and written, in bytes.
        vector_offset: Of the vector within the channel that is written, in bytes.
        n_shuffles: At most `MAX_SHUFFLES`.
        shuffles: Address of int64 (shuffles, 2): where each reads, in bytes from the channel's
            start, and the address of int32 (LANES,): by lane the lane it is filled from, or -1.
    """

    mode: int
    channels: int
    channel_offsets: int
    vector_offset: int
    n_shuffles: int
    shuffles: int


def table_type(row: Any) -> np.dtype[np.void]:
    """The record type of a `View`, `TileRecord` or `CopyRun`."""
    return np.dtype([(name, np.int64) for name in row._fields])
