"""What the inner loop may hold in registers: the shapes of blocks of outputs."""

from dataclasses import dataclass

from llvmlite import binding
from numba import config


def _has_wide_registers() -> bool:
    """Whether the processor that Numba compiles for has them: this one, or one that was asked."""
    asked: str | None = config.CPU_FEATURES  # type: ignore[attr-defined]
    if asked is not None:
        return "+avx512f" in asked.split(",")
    return bool(binding.get_host_cpu_features().get("avx512f", False))


LANES = 16 if _has_wide_registers() else 8
"""float32 values in a vector."""
_MOST_ACCUMULATORS = 24 if _has_wide_registers() else 12


@dataclass(frozen=True)
class Grouping:
    """How many output channels are computed at once, and whether they share positions.

    Channels that share one list of positions read each input once for all of them, but multiply
    with a zero where only some of them have a weight: right for dense layers. Lists of their own
    run side by side: no multiplication is wasted, and the additions of one hide the latency of
    those of the others, which on small maps are too few.

    Attributes:
        channels: Output channels.
        shared: Whether one list serves all of them.
    """

    channels: int
    shared: bool


@dataclass(frozen=True)
class Block:
    """What one pass keeps in registers: rows x columns vectors of outputs for every channel."""

    grouping: Grouping
    rows: int
    columns: int

    @property
    def vectors(self) -> int:
        """Vectors of outputs a channel."""
        return self.rows * self.columns

    @property
    def accumulators(self) -> int:
        """Registers that hold outputs."""
        return self.grouping.channels * self.vectors


_SHAPES = {
    Grouping(1, shared=True): "2x8 1x16 1x8 1x5 4x4 3x4 1x4 1x3 2x2 1x2 1x1",
    Grouping(2, shared=True): "1x8 1x5 2x4 1x4 1x3 2x2 1x2 1x1",
    Grouping(4, shared=True): "1x5 1x4 1x3 2x2 1x2 1x1",
    Grouping(2, shared=False): "1x8 2x4 1x4 1x3 2x2 1x2 1x1",
    Grouping(4, shared=False): "1x4 2x2 1x3 1x2 1x1",
}
GROUPINGS = tuple(_SHAPES)
"""Every grouping that is compiled; plain sparse lists first."""
BLOCKS = tuple(
    block
    for grouping, shapes in _SHAPES.items()
    for shape in shapes.split()
    if (block := Block(grouping, *map(int, shape.split("x")))).accumulators <= _MOST_ACCUMULATORS
)
"""Every block that is compiled; the kernels name one by its place in this tuple."""

FROM_BIAS, FROM_RESIDUAL, FROM_OUTPUT = 0, 1, 2
"""What the outputs start from: the bias, bias plus residual, or what an earlier pass left."""
