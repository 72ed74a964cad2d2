"""The table of operations: its columns, and the numbers that name the operations.

An operation is a row of int64. Addresses are bytes; places and distances within the arena are
counted in float32 values.
"""

CONV, SUM, MAX_POOL, AVG_POOL, SPLIT, FLATTEN, PACK, UNPACK = range(8)

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
STAMP, INDICES, ROW_SHIFTS, N_ROWS, COLUMN_SHIFTS, N_COLUMNS, PLANES, LANE_BITS = range(31, 39)
# Convolution: the address of the row that sorts what it reads (or 0).
SORTED = 31
# Convolution: the address of the code, which is compiled once and not into each caller.
CODE = 39
COLUMNS = 40
