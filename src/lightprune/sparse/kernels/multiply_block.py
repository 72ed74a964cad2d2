"""The multiplications of one block of outputs, for compiled code."""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from lightprune.sparse.isa.register_blocks import REGISTER_BLOCKS
from lightprune.sparse.kernels.microkernel import Microkernel


@intrinsic
def multiply_block(
    _typing,
    block,
    start_from,
    output,
    output_row,
    output_plane,
    residual,
    residual_row,
    residual_plane,
    order,
    bias,
    input_,
    input_row,
    offsets,
    weights,
    begin,
    end,
    least,
):
    """Multiplies weights `begin` to `end` into one block of outputs.

    Addresses are int64, rows and planes are distances in float32 values.

    Args:
        block: Place in `REGISTER_BLOCKS`.
        start_from: `FROM_BIAS`, `FROM_RESIDUAL` or `FROM_OUTPUT`.
        output: Address of the block's first output in channel 0.
        output_row: From one row of outputs to the next.
        output_plane: From one channel of outputs to the next.
        residual: Address of what is added to that.
        residual_row: From one row of that to the next.
        residual_plane: From one channel of that to the next.
        order: Address of int64, the group's channels.
        bias: Address of one float32 a channel.
        input_: Address that the offsets count from.
        input_row: From one row of the block's inputs to the next.
        offsets: Address of int32 distances in bytes, one a list and position.
        weights: Address of float32 weights, one a channel and position.
        begin: First position.
        end: One after the last position.
        least: No output ends below it: 0 for a ReLU, minus infinity for none.
    """
    signature = types.void(*(types.int64,) * 16, types.float32)

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        chosen, *rest = arguments
        ended, unknown = builder.append_basic_block("ended"), builder.append_basic_block("unknown")
        switch = builder.switch(chosen, unknown)
        for number, shape in enumerate(REGISTER_BLOCKS):
            if shape.grouping.in_lanes:
                continue
            case = builder.append_basic_block(f"block{number}")
            switch.add_case(ir.IntType(64)(number), case)
            builder.position_at_end(case)
            Microkernel(builder, shape, rest).emit()
            builder.branch(ended)
        builder.position_at_end(unknown)
        builder.unreachable()
        builder.position_at_end(ended)
        return context.get_dummy_value()

    return signature, generate
