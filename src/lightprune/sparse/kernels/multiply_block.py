"""The intrinsic that multiplies weights into one register block, pixels or images in the lanes."""

from numba.core import types
from numba.extending import intrinsic

from lightprune.sparse.jit.atomics import code_of
from lightprune.sparse.kernels.microkernel import Microkernel, switch_over_blocks


@intrinsic
def multiply_block(
    _typing,
    block,
    init,
    output,
    output_row_stride,
    output_channel_stride,
    residual,
    residual_row_stride,
    residual_channel_stride,
    channel_order,
    bias,
    input_,
    input_row_stride,
    offsets,
    weights,
    begin,
    end,
    minimum,
):
    """Multiplies the entries `begin` to `end` into one block of outputs.

    Addresses are int64; strides count float32 values.

    Args:
        block: Index in `REGISTER_BLOCKS`.
        init: `FROM_BIAS`, `FROM_RESIDUAL` or `FROM_OUTPUT`.
        output: Address of the block's first output in channel 0.
        output_row_stride: From one row of outputs to the next.
        output_channel_stride: From one channel of outputs to the next.
        residual: Address of the residual of that output.
        residual_row_stride: From one row of residuals to the next.
        residual_channel_stride: From one channel of residuals to the next.
        channel_order: Address of int64, the group's channels.
        bias: Address of one float32 a channel.
        input_: Address that the offsets count from.
        input_row_stride: From one row of the block's inputs to the next.
        offsets: Address of int32 byte offsets, one a list and entry.
        weights: Address of float32 weights, one a channel and entry.
        begin: First entry.
        end: One after the last entry.
        minimum: Outputs are raised to it: 0 for a ReLU, minus infinity for none.
    """
    return code_of(
        types.void(*(types.int64,) * 16, types.float32),
        lambda b, *values: switch_over_blocks(b, values, Microkernel, channel_lanes=False),
    )
