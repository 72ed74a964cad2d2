"""What the inner loops cost on this machine: measured, once a process."""

import ctypes
import time
from dataclasses import dataclass
from enum import Enum
from functools import cache

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.isa import instruction as c
from lightprune.sparse.isa.instruction import encode
from lightprune.sparse.isa.register_blocks import FROM_BIAS, LANES, REGISTER_BLOCKS, RegisterBlock
from lightprune.sparse.kernels.convolution import conv_kernel

# A measurement multiplies so many groups of channels, with few weights each and with more: the
# difference is what the weights take, the rest what it takes to begin.
_GROUPS = 32
_FEW, _MORE = 8, 72
# Blocks take turns: where others use the core, too, all meet its slow moments and its quick ones.
_ROUNDS = 10
_TIMES = 3
# Bytes of inputs, so that they stay in the first cache, and of weights that stay in none.
_INPUTS = 16 * 1024
_STREAM = 8 * 2**20
_LINE = 4 * LANES

# Holds the interpreter's lock: to get it back from another thread may take longer than the call.
_Call = ctypes.PYFUNCTYPE(None, *(ctypes.c_int64,) * 6)


class InputAlignment(Enum):
    """How the vectors of inputs of single images lie on vectors of memory, tap by tap.

    A map's rows follow one another, so that taps of another row begin within a cache line.
    """

    WHOLE = (0,)
    HALF = (0, _LINE // 2, _LINE // 2)
    ANY = (4, _LINE // 4, _LINE // 2, _LINE - 4)


@dataclass(frozen=True)
class BlockCost:
    """What one block of outputs takes.

    Attributes:
        position: Seconds for one position of weights, of every list, from a near cache.
        begin: Seconds to begin and to end it.
    """

    position: float
    begin: float


@cache
def block_costs(lines: InputAlignment) -> tuple[BlockCost, ...]:
    """What each of `REGISTER_BLOCKS` takes, by its place there.

    Args:
        lines: How the inputs lie. Blocks with channels in their lanes read single numbers, and
            cost the same whatever it is.
    """
    work = [_Benchmark(number, lines, _MORE, _GROUPS) for number in range(len(REGISTER_BLOCKS))]
    rounds = [[_seconds(each) for each in work] for _ in range(_ROUNDS)]
    return tuple(_cost(*np.min(found, 0).tolist()) for found in zip(*rounds, strict=True))


@cache
def seconds_per_byte() -> float:
    """What it takes to read weights that are in no cache of a core's own."""
    number = next(
        n for n, b in enumerate(REGISTER_BLOCKS) if b.accumulators == 8 and b.grouping.in_lanes
    )
    positions = _STREAM // (4 * REGISTER_BLOCKS[number].grouping.channels)
    work = _Benchmark(number, InputAlignment.WHOLE, positions, groups=1)
    return min(work.seconds(1) for _ in range(2)) / _STREAM


def _seconds(work: "_Benchmark") -> tuple[float, float, float]:
    """What no group takes, all groups with more positions, and with few."""
    more, few = (positions * np.arange(_GROUPS + 1) for positions in (_MORE, _FEW))
    return work.best(0, more), work.best(_GROUPS, more), work.best(_GROUPS, few)


def _cost(called: float, more: float, few: float) -> BlockCost:
    position = (more - few) / (_GROUPS * (_MORE - _FEW))
    if position <= 0:  # Something else ran meanwhile. A block that costs nothing would always win.
        position = more / (_GROUPS * _MORE)
    return BlockCost(position, max(0.0, (few - called) / _GROUPS - _FEW * position))


class _Benchmark:
    """A convolution of one block, and the memory that it works on.

    All of that is written first: what never was is one page of zeros, wherever it seems to lie.
    """

    def __init__(self, number: int, lines: InputAlignment, positions: int, groups: int) -> None:
        block = REGISTER_BLOCKS[number]
        grouping, stride = block.grouping, block.grouping.stride
        lists = 1 if grouping.shared else grouping.channels
        plane = -(-block.vectors * stride // LANES) * LANES
        inputs, channels = _INPUTS // 4 + plane + LANES, groups * grouping.channels
        self.segments = np.arange(groups + 1) * positions
        self._arrays = (
            np.zeros(channels, np.float32),
            _offsets(groups * positions * lists, block, lines),
            np.ones(groups * positions * grouping.channels, np.float32),
            np.array([number, 0, 0, 0, block.columns]),
            np.arange(channels),
            np.ones(inputs + channels * plane + LANES, np.float32),
        )
        places = (array.ctypes.data for array in self._arrays)
        bias, offsets, weights, pieces, order, memory = places
        self._arena = memory + -memory % _LINE
        self._row = encode(
            {
                c.CHANNELS: channels,
                c.OUT: inputs,
                c.OUT_PLANE: plane,
                c.OUT_ROW: block.columns * stride,
                c.IN_ROW: block.columns * stride,
                c.START: FROM_BIAS,
                c.BIAS: bias,
                c.ORDER: order,
                c.SEGMENTS: self.segments.ctypes.data,
                c.OFFSETS: offsets,
                c.WEIGHTS: weights,
                c.GROUPS: groups,
                c.GROUP_CHANNELS: grouping.channels,
                c.PASSES: 1,
                c.PIECES: pieces,
                c.N_PIECES: 1,
                c.IN_LANES: int(grouping.in_lanes),
            }
        )

    def seconds(self, groups: int) -> float:
        """What the first groups take."""
        run, row, arena = _Call(conv_kernel()), self._row.ctypes.data, self._arena
        begin = time.perf_counter()
        run(row, 0, groups, arena, arena, 1)
        return time.perf_counter() - begin

    def best(self, groups: int, segments: NDArray[np.int64]) -> float:
        """What the first groups take undisturbed, with these positions."""
        self.segments[:] = segments
        return min(self.seconds(groups) for _ in range(_TIMES))


def _offsets(count: int, block: RegisterBlock, lines: InputAlignment) -> NDArray[np.int32]:
    """Places all over the inputs, in bytes, that lie on cache lines as they are to."""
    places = np.random.default_rng(0).integers(0, _INPUTS // _LINE, count, np.int32) * _LINE
    within = (0,) if block.grouping.in_lanes else lines.value
    return places + np.resize(np.array(within, np.int32), count)
