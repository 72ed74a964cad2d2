"""What code generation and kernels know of the processor: vectors, cache lines, register blocks."""

from dataclasses import dataclass

from llvmlite import binding
from numba import config


def has_cpu_feature(feature: str) -> bool:
    """Whether the CPU that Numba compiles for has the feature: this one, or the configured one."""
    configured: str | None = config.CPU_FEATURES  # type: ignore[attr-defined]
    if configured is not None:
        return f"+{feature}" in configured.split(",")
    if feature.startswith("avx") and not config.ENABLE_AVX:  # type: ignore[attr-defined]
        return False
    return bool(binding.get_host_cpu_features().get(feature, False))


LANES = 16 if has_cpu_feature("avx512f") else 8
"""float32 values in a vector."""
NARROW_LANES = 4
"""float32 values in a narrow vector: as many as a single image's 2x2 map has pixels."""
CACHE_LINE = 64
"""Bytes."""
_MAX_ACCUMULATORS = 24 if LANES == 16 else 12


@dataclass(frozen=True)
class ChannelBlock:
    """How many output channels are computed together, and whether they share offsets.

    Channels that share one list of offsets load each input once for all of them, but multiply by
    zero where only some of them have a weight: right for dense layers. With a list a channel, the
    lists run side by side: no multiplication is wasted, and the additions of one channel hide the
    latency of the others', which on small maps are too few.

    Vector lanes are pixels of a map, or images. Where a single image's map is too small to fill
    them, they can be output channels instead, which then share offsets.

    Attributes:
        shared: Whether one list of offsets serves all channels.
        channel_lanes: Whether vector lanes are channels; single images only.
        lanes: Float32 values in a vector: `LANES`, or `NARROW_LANES` for single images' maps of no
            more pixels: some cores load and multiply twice as many such vectors at a time.
    """

    channels: int
    shared: bool
    channel_lanes: bool = False
    lanes: int = LANES

    @property
    def pixels_per_vector(self) -> int:
        """Pixels of a single image in one vector."""
        return 1 if self.channel_lanes else self.lanes

    @property
    def lists(self) -> int:
        """Lists of offsets."""
        return 1 if self.shared else self.channels

    def __str__(self) -> str:
        suffixes = (
            (" in lanes", self.channel_lanes),
            (" shared", self.shared and self.channels > 1 and not self.channel_lanes),
            (" narrow", self.lanes < LANES),
        )
        return f"{self.channels}{''.join(suffix for suffix, applies in suffixes if applies)}"


@dataclass(frozen=True)
class RegisterBlock:
    """The outputs that one inner loop accumulates in registers.

    These are `rows` x `columns` vectors for every channel; with channels in the lanes, those of
    `columns` pixels of one row.
    """

    channel_block: ChannelBlock
    rows: int
    columns: int

    @property
    def vectors(self) -> int:
        """Vectors of outputs a channel, or pixels."""
        return self.rows * self.columns

    @property
    def skips_rows(self) -> bool:
        """Whether it leaves out its first row, or its last one, where all inputs are zeros."""
        return self.rows > 1 and self.channel_block.channels == 1

    @property
    def accumulators(self) -> int:
        """Registers that hold outputs."""
        channels_per_vector = LANES if self.channel_block.channel_lanes else 1
        return self.channel_block.channels // channels_per_vector * self.vectors


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
    ChannelBlock(2 * LANES, shared=True, channel_lanes=True): "1x6 1x4 1x2 1x1",
    ChannelBlock(8 * LANES, shared=True, channel_lanes=True): "1x1",
}
CHANNEL_BLOCKS = tuple(b for b in _SHAPES if b.lanes == LANES and not b.channel_lanes)
"""Channel blocks for any number of images; plain sparse lists first."""
SINGLE_IMAGE_BLOCKS = tuple(b for b in _SHAPES if b.lanes == LANES)
"""Channel blocks for a single image."""
SMALL_MAP_BLOCKS = tuple(b for b in _SHAPES if b.lanes == NARROW_LANES or b.channel_lanes)
"""Channel blocks for a single image whose map has at most `NARROW_LANES` pixels."""
REGISTER_BLOCKS = tuple(
    block
    for channel_block, shapes in _SHAPES.items()
    for shape in shapes.split()
    if (block := RegisterBlock(channel_block, *map(int, shape.split("x")))).accumulators
    <= _MAX_ACCUMULATORS
)
"""Every register block that is compiled; instructions name one by its index."""

FROM_ZERO, FROM_OUTPUT = 0, 1
"""What accumulators start from: nothing, or what the output holds."""
PLUS_NOTHING, PLUS_BIAS, PLUS_RESIDUAL = 0, 1, 2
"""What is added to them at the end: nothing, the bias, or bias and residual."""
