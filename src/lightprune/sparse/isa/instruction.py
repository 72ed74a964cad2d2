"""The table of operations: its columns, and the numbers that name the operations.

An operation is a row of int64. Addresses are bytes; places and distances within the arena are
counted in float32 values.
"""

import numpy as np
from numpy.typing import NDArray

CONV, SUM, MAX_POOL, AVG_POOL, FLATTEN, PACK, UNPACK = range(7)

# Every operation: which it is, the address of one that follows at once on the same channels (or
# 0), its shares of the channels, what it writes and what it reads.
KIND, NEXT, CHUNKS, BOUNDS, CHANNELS = range(5)
OUT, OUT_PLANE, OUT_ROW, HEIGHT, WIDTH, BEFORE, MARGINS = range(5, 12)
IN, IN_PLANE, IN_ROW, IN_HEIGHT, IN_WIDTH = range(12, 17)
RELU, BIAS = 17, 18
# A second value that is added; -1 for none.
ADDED, ADDED_PLANE, ADDED_ROW = 19, 20, 21
# Convolution.
SEGMENTS, OFFSETS, WEIGHTS, GROUPS, GROUP_CHANNELS, PASSES, PIECES, N_PIECES, START = range(22, 31)
# Sum: whether BIAS holds one value a channel (1), one a position (2) or none (0).
BIAS_KIND = 22
# Pooling and sorting: windows.
KERNEL_H, KERNEL_W, STRIDE_H, STRIDE_W, TOP, LEFT, COUNT_PADDING = range(22, 29)
STAMP, ROW_SHIFTS, N_ROWS, COLUMN_SHIFTS, N_COLUMNS = range(31, 36)
# Pooling and sorting single images: runs of moves of vectors.
RUNS, N_RUNS = 36, 37
# Convolution: the address of the row that sorts what it reads (or 0).
SORTED = 31
# Convolution: the address of the code, which is compiled once and not into each caller.
CODE = 38
# Convolution: whether its output channels are lanes.
IN_LANES = 39
# Convolution: the address of int64 (groups, channels): which output channels a group has.
ORDER = 40
COLUMNS = 41

RUN_COLUMNS = 6
"""What there is to say of vectors that are filled alike, one a channel: one of `COPY`...; how many
channels, and the address of int64 (channels, 2): from where each is read and where it is written,
in bytes; how far behind that the vector lies; how many moves fill it, and the address of int64
(moves, 2): where each reads, in bytes from the channel's start, and the address of int32, by lane
the lane that it is filled from, or -1."""
MAX_SHUFFLES = 4
"""Moves that a run may have: a vector that needs more takes several runs."""
COPY, FILL, MAX = range(3)
"""What the lanes that no move fills become: 0, or what they were; or every lane becomes the
largest of what it was and of all that is moved there."""

PIECE_COLUMNS = 5
"""What there is to say of a piece: its block; where it begins in the output, the input and the
residual; how many columns it has."""

Fields = dict[int, int]
"""Some columns of a row: their numbers, and what they say."""


def encode(columns: Fields) -> NDArray[np.int64]:
    """The row with these columns, the others 0."""
    row = np.zeros(COLUMNS, np.int64)
    for column, value in columns.items():
        row[column] = value
    return row
