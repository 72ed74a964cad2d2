"""The peak float32 rate of one core, measured with chains of fused multiply-adds."""

import time
from functools import reduce
from typing import Any

import numba
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.jit.loop_builder import I32, I64, LoopBuilder
from lightprune.sparse.kernels.microkernel import broadcast

# Independent chains that hide the latency: 2 FMAs a cycle, 4 or 5 cycles each.
_CHAINS = 12
_TIMES = 50_000
_TRIES = 20


class _Chains(LoopBuilder):
    factors: list[ir.Value]

    def body(self, _number: ir.Value, accumulators: list[ir.Value]) -> list[ir.Value]:
        return list(map(self.multiply_add, accumulators, self.factors, self.factors))


@intrinsic
def _multiply_add_chains(_typing, times, factor):  # type: ignore[no-untyped-def]
    """Multiplies and adds in `_CHAINS` vectors at once, `times` times; returns one of the sums."""

    def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        count, number = arguments
        factors = [broadcast(builder, number)] * _CHAINS
        chains = _Chains(builder)
        chains.factors = factors
        total = reduce(builder.fadd, chains.emit_loop(ir.Constant(I64, 0), count, factors))
        return builder.extract_element(total, ir.Constant(I32, 0))

    return types.float32(types.int64, types.float32), generate


@numba.njit(nogil=True)
def _run(times, factor):  # type: ignore[no-untyped-def]
    return _multiply_add_chains(times, factor)  # type: ignore[call-arg]


def peak_flops() -> float:
    """Float32 operations a second on one core: a multiplication and an addition are two."""
    _run(1, numba.float32(0.5))
    best = float("inf")
    for _ in range(_TRIES):
        begin = time.perf_counter()
        _run(_TIMES, numba.float32(0.5))
        best = min(best, time.perf_counter() - begin)
    return 2 * _TIMES * _CHAINS * LANES / best
