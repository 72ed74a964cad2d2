"""The cost model: what each register block takes on this machine, measured once a process."""

import ctypes
import time
from dataclasses import dataclass
from enum import Enum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.isa.instruction import ConvInstruction
from lightprune.sparse.isa.records import encode
from lightprune.sparse.isa.register_blocks import (
    FROM_ZERO,
    LANES,
    PLUS_BIAS,
    REGISTER_BLOCKS,
    RegisterBlock,
)
from lightprune.sparse.isa.tables import TileRecord, View, table_type
from lightprune.sparse.kernels.convolution import conv_kernel

SECONDS_PER_VALUE = 0.3e-9
"""What an instruction other than a convolution takes for a float32 value, about."""
# A measurement multiplies so many groups of channels, with few entries each and with many: the
# difference is the cost of the entries, the rest the cost of starting.
_GROUPS = 32
_FEW, _MANY = 8, 72
# Blocks take turns: where others use the core, too, all meet its slow moments and its quick ones.
_ROUNDS = 10
_REPEATS = 3
# Bytes of inputs, so that they stay in the L1 cache, and of weights that stay in none.
_INPUT_BYTES = 16 * 1024
_STREAM_BYTES = 8 * 2**20
_VECTOR_BYTES = 4 * LANES

# Holds the interpreter's lock: to get it back from another thread may take longer than the call.
_Kernel = ctypes.PYFUNCTYPE(None, *(ctypes.c_int64,) * 5)


class InputAlignment(Enum):
    """How the input vectors of single images are aligned: byte offsets that taps cycle through.

    A map's rows follow one another, so that taps of another row start within a cache line.
    """

    ALIGNED = (0,)
    HALF = (0, _VECTOR_BYTES // 2, _VECTOR_BYTES // 2)
    UNALIGNED = (4, _VECTOR_BYTES // 4, _VECTOR_BYTES // 2, _VECTOR_BYTES - 4)


@dataclass(frozen=True)
class BlockCost:
    """The cost of one register block of outputs.

    Attributes:
        per_entry: Seconds for one entry, of every list, from a near cache.
        startup: Seconds besides.
    """

    per_entry: float
    startup: float


@cache
def block_costs(alignment: InputAlignment) -> tuple[BlockCost, ...]:
    """The cost of each of `REGISTER_BLOCKS`, in their order, for inputs of that alignment.

    Blocks with channels in their lanes read scalars, and cost the same whatever it is.
    """
    benchmarks = [
        _Benchmark(number, alignment, _MANY, _GROUPS) for number in range(len(REGISTER_BLOCKS))
    ]
    rounds = [[_seconds(benchmark) for benchmark in benchmarks] for _ in range(_ROUNDS)]
    return tuple(_cost(*np.min(seconds, 0).tolist()) for seconds in zip(*rounds, strict=True))


@cache
def seconds_per_byte() -> float:
    """The cost of streaming weights that are in no cache of a single core."""
    number = next(
        number
        for number, block in enumerate(REGISTER_BLOCKS)
        if block.accumulators == 8 and block.channel_block.channel_lanes
    )
    entries = _STREAM_BYTES // (4 * REGISTER_BLOCKS[number].channel_block.channels)
    benchmark = _Benchmark(number, InputAlignment.ALIGNED, entries, groups=1)
    return min(benchmark.seconds(1) for _ in range(2)) / _STREAM_BYTES


def _seconds(benchmark: "_Benchmark") -> tuple[float, float, float]:
    many, few = (entries * np.arange(_GROUPS + 1) for entries in (_MANY, _FEW))
    return benchmark.best(0, many), benchmark.best(_GROUPS, many), benchmark.best(_GROUPS, few)


def _cost(call: float, many: float, few: float) -> BlockCost:
    per_entry = (many - few) / (_GROUPS * (_MANY - _FEW))
    if per_entry <= 0:  # Something else ran meanwhile. A block that costs nothing would always win.
        per_entry = many / (_GROUPS * _MANY)
    return BlockCost(per_entry, max(0.0, (few - call) / _GROUPS - _FEW * per_entry))


class _Benchmark:
    """Its memory is all written first: what never was is one page of zeros, in the cache."""

    def __init__(self, number: int, alignment: InputAlignment, entries: int, groups: int) -> None:
        block = REGISTER_BLOCKS[number]
        channel_block = block.channel_block
        row = block.columns * channel_block.pixels_per_vector
        pixels = block.vectors * channel_block.pixels_per_vector
        channel_stride = -(-pixels // LANES) * LANES
        inputs = _INPUT_BYTES // 4 + channel_stride + LANES
        channels = groups * channel_block.channels
        self.indptr = np.arange(groups + 1) * entries
        self._arrays = (
            np.zeros(channels, np.float32),
            _offsets(groups * entries * channel_block.lists, block, alignment),
            np.ones(groups * entries * channel_block.channels, np.float32),
            np.array(
                [TileRecord(number, 0, 0, 0, block.columns, block.rows)], table_type(TileRecord)
            ),
            np.arange(channels),
            np.ones(inputs + channels * channel_stride + LANES, np.float32),
        )
        addresses = (array.ctypes.data for array in self._arrays)
        bias, offsets, weights, tiles, channel_order, memory = addresses
        self._arena = memory + -memory % _VECTOR_BYTES
        self._record = encode(
            ConvInstruction(
                channels=channels,
                output=View(inputs, channel_stride, row),
                input=View(0, row_stride=row),
                residual=View(0),
                init=FROM_ZERO,
                final=PLUS_BIAS,
                relu=0,
                bias=bias,
                channel_order=channel_order,
                indptr=self.indptr.ctypes.data,
                offsets=offsets,
                weights=weights,
                groups=groups,
                group_channels=channel_block.channels,
                passes=1,
                kernel_rows=1,
                tiles=tiles,
                n_tiles=1,
                packed_input=0,
                code=conv_kernel(),
                channel_lanes=channel_block.channel_lanes,
            )
        )

    def seconds(self, groups: int) -> float:
        kernel, record, arena = _Kernel(conv_kernel()), self._record.ctypes.data, self._arena
        begin = time.perf_counter()
        kernel(record, 0, groups, arena, arena)
        return time.perf_counter() - begin

    def best(self, groups: int, indptr: NDArray[np.int64]) -> float:
        self.indptr[:] = indptr
        return min(self.seconds(groups) for _ in range(_REPEATS))


def _offsets(count: int, block: RegisterBlock, alignment: InputAlignment) -> NDArray[np.int32]:
    """Offsets all over the inputs, in bytes, that are aligned as they are to be."""
    vectors = np.random.default_rng(0).integers(0, _INPUT_BYTES // _VECTOR_BYTES, count, np.int32)
    within = (0,) if block.channel_block.channel_lanes else alignment.value
    return vectors * _VECTOR_BYTES + np.resize(np.array(within, np.int32), count)
