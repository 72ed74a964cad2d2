"""What the inner loop may hold in registers: the shapes of blocks of outputs."""

from dataclasses import dataclass

from llvmlite import binding
from numba import config


def has_cpu_feature(feature: str) -> bool:
    """Whether the processor that Numba compiles for has it: this one, or one that was asked."""
    asked: str | None = config.CPU_FEATURES  # type: ignore[attr-defined]
    if asked is not None:
        return f"+{feature}" in asked.split(",")
    if feature.startswith("avx") and not config.ENABLE_AVX:  # type: ignore[attr-defined]
        return False
    return bool(binding.get_host_cpu_features().get(feature, False))


LANES = 16 if has_cpu_feature("avx512f") else 8
"""float32 values in a vector."""
NARROW_LANES = 4
"""Those in a narrow one: as many as a single image's map of 2x2 has positions."""
_MAX_ACCUMULATORS = 24 if LANES == 16 else 12


@dataclass(frozen=True)
class ChannelBlock:
    """How many output channels are computed at once, and whether they share positions.

    Channels that share one list of positions read each input once for all of them, but multiply
    with a zero where only some of them have a weight: right for dense layers. Lists of their own
    run side by side: no multiplication is wasted, and the additions of one hide the latency of
    those of the others, which on small maps are too few.

    The lanes of a vector are positions of a map, or images. Where a map of a single image is too
    small to fill them, they can be output channels instead, which share positions then.

    Attributes:
        channels: Output channels.
        shared: Whether one list serves all of them.
        in_lanes: Whether vectors hold channels; single images only.
        lanes: Float32 values in a vector: `LANES`, or `NARROW_LANES` for single images' maps of no
            more positions: some cores load and multiply twice as many such vectors at a time.
    """

    channels: int
    shared: bool
    in_lanes: bool = False
    lanes: int = LANES

    @property
    def stride(self) -> int:
        """Positions of a single image that lie in one vector."""
        return 1 if self.in_lanes else self.lanes

    def __str__(self) -> str:
        """The channels, and in few words how."""
        how = (
            (" in lanes", self.in_lanes),
            (" shared", self.shared and self.channels > 1 and not self.in_lanes),
            (" narrow", self.lanes < LANES),
        )
        return f"{self.channels}{''.join(words for words, so in how if so)}"


@dataclass(frozen=True)
class RegisterBlock:
    """What one pass keeps in registers: rows x columns vectors of outputs for every channel.

    With channels in the lanes: the channels at one row of positions.
    """

    grouping: ChannelBlock
    rows: int
    columns: int

    @property
    def vectors(self) -> int:
        """Vectors of outputs a channel, or positions."""
        return self.rows * self.columns

    @property
    def accumulators(self) -> int:
        """Registers that hold outputs."""
        in_a_vector = LANES if self.grouping.in_lanes else 1
        return self.grouping.channels // in_a_vector * self.vectors


_SHAPES = {
    ChannelBlock(1, shared=True): "2x8 1x16 1x8 1x5 4x4 3x4 1x4 1x3 2x2 1x2 1x1",
    ChannelBlock(2, shared=True): "1x8 1x5 2x4 1x4 1x3 2x2 1x2 1x1",
    ChannelBlock(4, shared=True): "1x5 1x4 1x3 2x2 1x2 1x1",
    ChannelBlock(2, shared=False): "1x8 2x4 1x4 1x3 2x2 1x2 1x1",
    ChannelBlock(4, shared=False): "1x4 2x2 1x3 1x2 1x1",
    ChannelBlock(1, shared=True, lanes=NARROW_LANES): "1x1",
    ChannelBlock(2, shared=False, lanes=NARROW_LANES): "1x1",
    ChannelBlock(4, shared=False, lanes=NARROW_LANES): "1x1",
    ChannelBlock(4, shared=True, lanes=NARROW_LANES): "1x1",
    ChannelBlock(2 * LANES, shared=True, in_lanes=True): "1x6 1x4 1x2 1x1",
    ChannelBlock(8 * LANES, shared=True, in_lanes=True): "1x1",
}
CHANNEL_BLOCKS = tuple(g for g in _SHAPES if g.lanes == LANES and not g.in_lanes)
"""The groupings that are compiled and serve any number of images; plain sparse lists first."""
SINGLE_IMAGE_BLOCKS = tuple(g for g in _SHAPES if g.lanes == LANES)
"""Those that serve a single image."""
SMALL_MAP_BLOCKS = tuple(g for g in _SHAPES if g.lanes == NARROW_LANES or g.in_lanes)
"""Those that serve a single image whose map has at most `NARROW_LANES` positions."""
REGISTER_BLOCKS = tuple(
    block
    for grouping, shapes in _SHAPES.items()
    for shape in shapes.split()
    if (block := RegisterBlock(grouping, *map(int, shape.split("x")))).accumulators
    <= _MAX_ACCUMULATORS
)
"""Every block that is compiled; the kernels name one by its place in this tuple."""

FROM_BIAS, FROM_RESIDUAL, FROM_OUTPUT = 0, 1, 2
"""What the outputs start from: the bias, bias plus residual, or what an earlier pass left."""
