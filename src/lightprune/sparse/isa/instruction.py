"""The instruction set: opcodes and their operands by name.

Operands are int64. Addresses and byte offsets say so; every other offset and stride counts float32
values. Kernels read an instruction as a record; see `isa.records`.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from lightprune.sparse.isa.register_blocks import LANES
from lightprune.sparse.isa.tables import NO_VIEW, View


class Opcode(IntEnum):
    """What an instruction does; `PACK_INPUT` is never dispatched but called by `CONV`."""

    CONV = 0
    ADD = 1
    MAX_POOL = 2
    AVG_POOL = 3
    FLATTEN = 4
    PACK = 5
    UNPACK = 6
    PACK_INPUT = 7
    ACTIVATE = 8
    MULTIPLY = 9
    GATHER = 10


class BiasKind(IntEnum):
    """How many values the bias of an `AddInstruction` has."""

    NONE = 0
    PER_CHANNEL = 1
    PER_PIXEL = 2


@dataclass(frozen=True, kw_only=True)
class Operands:
    """What threads share an instruction by.

    Attributes:
        chunks: Into how many chunks its channels, groups or bands are split.
        chunk_bounds: Address of int64 (chunks + 1,).
    """

    opcode: ClassVar[Opcode]
    chunks: int = 0
    chunk_bounds: int = 0


@dataclass(frozen=True, kw_only=True)
class ChannelOperands(Operands):
    """Operands of every instruction that computes channels.

    Attributes:
        halo_offset: From a channel's start to its first pixel.
        clear_halo: Whether the values around the map are zeroed afterwards.
    """

    channels: int
    output: View
    halo_offset: int = 0
    clear_halo: int = 0


@dataclass(frozen=True, kw_only=True)
class ConvInstruction(ChannelOperands):
    """output = activation?(relu?(init + conv(input) + bias + residual?)), zero weights left out.

    Bias and residual are added last: were the sums to start from them, each of the many additions
    would be rounded to the precision of the largest.

    Attributes:
        input: In the arena or, if packed, in the thread's private one.
        residual: What is added; the output if nothing is.
        init: What the accumulators start from: one of `FROM_...`.
        final: What is added after the last pass: one of `PLUS_...`.
        bias: Address of float32, by group and channel.
        channel_order: Address of int64 (groups, group_channels): the output channels.
        indptr: Address of int64 (passes * groups * kernel_rows + 1,): where those of each start.
        offsets: Address of int32: what every entry reads, in bytes from the input's first pixel.
        weights: Address of float32 (entries, group_channels).
        groups: Groups of `group_channels` output channels that are computed together.
        passes: Over the input channels.
        kernel_rows: Of which the entries are told apart.
        tiles: Address of `n_tiles` `TileRecord`s.
        bands: Address of int64 (bands + 1,): the first tile of each; 0: threads share the groups.
        packed_input: Address of the `PackInput` record that packs the input, or 0.
        channel_lanes: Whether vector lanes are output channels.
        lanes: Float32 values in a vector.
        activation: The code of a function, or 0; see `kernels.activations`.
        parameters: Address of its two, float32.
    """

    opcode = Opcode.CONV
    input: View
    residual: View
    init: int
    final: int
    relu: int
    bias: int
    channel_order: int
    indptr: int
    offsets: int
    weights: int
    groups: int
    group_channels: int
    passes: int
    kernel_rows: int
    tiles: int
    n_tiles: int
    packed_input: int
    code: int
    channel_lanes: int
    lanes: int = LANES
    bands: int = 0
    activation: int = 0
    parameters: int = 0


@dataclass(frozen=True, kw_only=True)
class AddInstruction(ChannelOperands):
    """output = relu?(bias + input + addend); `bias` is the address of float32 of a `BiasKind`."""

    opcode = Opcode.ADD
    input: View = NO_VIEW
    addend: View = NO_VIEW
    bias_kind: int = BiasKind.NONE
    bias: int = 0
    relu: int = 0


@dataclass(frozen=True, kw_only=True)
class ActivateInstruction(ChannelOperands):
    """output = the function of the input, with `activation` and `parameters` as of convolutions."""

    opcode = Opcode.ACTIVATE
    input: View
    activation: int
    parameters: int


@dataclass(frozen=True, kw_only=True)
class MultiplyInstruction(ChannelOperands):
    """output = input * factor; `by_channel`: the factor has one pixel a channel."""

    opcode = Opcode.MULTIPLY
    input: View
    factor: View
    by_channel: int


@dataclass(frozen=True, kw_only=True)
class Pool(ChannelOperands):
    """The windows of a pooling."""

    input: View
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    pad_top: int
    pad_left: int


@dataclass(frozen=True, kw_only=True)
class MaxPoolInstruction(Pool):
    """output = the maximum of each window; single images: by `CopyRun`s from maxima of rows."""

    opcode = Opcode.MAX_POOL
    dilation_h: int = 1
    dilation_w: int = 1
    copy_runs: int = 0
    n_copy_runs: int = 0


@dataclass(frozen=True, kw_only=True)
class AvgPoolInstruction(Pool):
    """output = the mean of each window; `count_padding` counts pixels of the padding, too."""

    opcode = Opcode.AVG_POOL
    count_padding: int


@dataclass(frozen=True, kw_only=True)
class FlattenInstruction(ChannelOperands):
    """output = the input with every pixel as a channel; `channels` are the input's."""

    opcode = Opcode.FLATTEN
    input: View


@dataclass(frozen=True, kw_only=True)
class GatherInstruction(ChannelOperands):
    """output = pixels of the input, or 0; single images: by `CopyRun`s.

    `pixel_offsets`: address of int64, what each pixel copies, from the channel's first; -1 for 0.
    """

    opcode = Opcode.GATHER
    input: View
    pixel_offsets: int = 0
    copy_runs: int = 0
    n_copy_runs: int = 0


@dataclass(frozen=True, kw_only=True)
class Pack(ChannelOperands):
    """output = the caller's images."""

    opcode = Opcode.PACK


@dataclass(frozen=True, kw_only=True)
class Unpack(ChannelOperands):
    """The caller's outputs = the input."""

    opcode = Opcode.UNPACK
    input: View


@dataclass(frozen=True, kw_only=True)
class PackInput(ChannelOperands):
    """Copies the input so that a convolution reads it at stride 1; see `codegen.input_packing`.

    `channels` are the input's.

    Attributes:
        number: Of its two int64 at the private arena's start; see `kernels.copying.pack_input`.
        row_shifts: Address of int64, as that of the column shifts.
        run_starts: For single images, address of int64 (planes * vectors + 1,): of the `CopyRun`s
            the first for each vector.
    """

    opcode = Opcode.PACK_INPUT
    input: View
    number: int
    stride_h: int
    stride_w: int
    row_shifts: int
    n_row_shifts: int
    column_shifts: int
    n_column_shifts: int
    planes: int = 1
    vectors: int = 1
    copy_runs: int = 0
    run_starts: int = 0
