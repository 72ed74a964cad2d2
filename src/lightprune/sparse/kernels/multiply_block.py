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

    `block` is an index in `REGISTER_BLOCKS`, `init` one of `FROM_...`; outputs are raised to
    `minimum`: 0 for a ReLU, minus infinity for none. The other operands are as of
    `ConvInstruction`: addresses are int64, those of output, residual and input are the block's
    first in channel 0, and strides count float32 values.
    """
    return code_of(
        types.void(*(types.int64,) * 16, types.float32),
        lambda b, *values: switch_over_blocks(b, values, Microkernel, channel_lanes=False),
    )
