"""The inner loop for maps too small to fill vectors: output channels in the lanes, in LLVM IR."""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from lightprune.sparse.isa.register_blocks import LANES, REGISTER_BLOCKS, RegisterBlock
from lightprune.sparse.jit.loop_builder import BYTES, FLOAT, I32, I64, LoopBuilder
from lightprune.sparse.kernels.microkernel import broadcast

# How far ahead of their use weights are asked for, in bytes.
_PREFETCH_DISTANCE = 2048
_CACHE_LINE = 64

_VECTOR = ir.VectorType(FLOAT, LANES)


class _ChannelMicrokernel(LoopBuilder):
    """Emits the code of one block shape: a row of weights times a few inputs."""

    def __init__(
        self, builder: ir.IRBuilder, block: RegisterBlock, arguments: Sequence[ir.Value]
    ) -> None:
        self.sums, self.input, self.offsets, self.weights, begin, end = arguments
        super().__init__(builder, begin, end)
        self.block = block

    def emit(self) -> None:
        """Writes the code at the builder's place, and leaves that after it."""
        addresses = self._row(self.sums, self.block.accumulators)
        results = self.summed([self.load(address) for address in addresses])
        for address, result in zip(addresses, results, strict=True):
            self.store(result, address)

    def one(self, number: ir.Value, held: list[ir.Value]) -> list[ir.Value]:
        """The sums after one position: its weights for all channels, at every place of the map."""
        b, channels = self.builder, self.block.grouping.channels
        offset = b.sext(self.scalar(self.offsets, number, 0, 1, I32), I64)
        base = b.add(self.input, offset)
        row = self.plus(self.weights, number, BYTES * channels)
        for line in range(0, BYTES * channels, _CACHE_LINE):
            self.ask_for(b.add(row, ir.Constant(I64, line + _PREFETCH_DISTANCE)))
        weights = [self.load(address) for address in self._row(row, channels // LANES)]
        inputs = [
            broadcast(b, self.scalar(base, ir.Constant(I64, place), 0, 1, FLOAT))
            for place in range(self.block.columns)
        ]
        products = [(weight, read) for read in inputs for weight in weights]
        return [
            self.multiply_add(weight, read, added)
            for (weight, read), added in zip(products, held, strict=True)
        ]

    def _row(self, base: ir.Value, vectors: int) -> list[ir.Value]:
        return [
            self.plus(base, ir.Constant(I64, number), LANES * BYTES) for number in range(vectors)
        ]


@intrinsic
def multiply_channel_block(_typing, block, sums, input_, offsets, weights, begin, end):
    """Multiplies weights `begin` to `end` into the sums of one block with channels in its lanes.

    Addresses are int64.

    Args:
        block: Place in `REGISTER_BLOCKS`.
        sums: Address of float32 (columns of the block, channels).
        input_: Address that the offsets count from; the columns are neighbours.
        offsets: Address of int32 distances in bytes, one a position.
        weights: Address of float32 weights, one a channel and position.
        begin: First position.
        end: One after the last position.
    """
    signature = types.void(*(types.int64,) * 7)

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        chosen, *rest = arguments
        ended, unknown = builder.append_basic_block("ended"), builder.append_basic_block("unknown")
        switch = builder.switch(chosen, unknown)
        for number, shape in enumerate(REGISTER_BLOCKS):
            if shape.grouping.in_lanes:
                case = builder.append_basic_block(f"block{number}")
                switch.add_case(ir.IntType(64)(number), case)
                builder.position_at_end(case)
                _ChannelMicrokernel(builder, shape, rest).emit()
                builder.branch(ended)
        builder.position_at_end(unknown)
        builder.unreachable()
        builder.position_at_end(ended)
        return context.get_dummy_value()

    return signature, generate


@intrinsic
def gather_strided(_typing, to, read, apart):
    """Collects a vector from the address `read` on, one value every `apart` bytes."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        to, read, apart = arguments
        found = ir.Constant(_VECTOR, ir.Undefined)
        for lane in range(LANES):
            place = builder.add(read, builder.mul(apart, I64(lane)))
            value = builder.load(builder.inttoptr(place, FLOAT.as_pointer()))
            found = builder.insert_element(found, value, I32(lane))
        builder.store(found, builder.inttoptr(to, _VECTOR.as_pointer())).align = BYTES
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def scatter_strided(_typing, to, read, apart, least):
    """Writes a vector from the address `to` on, one value every `apart` bytes.

    No value but NaN ends below `least`.
    """

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        to, read, apart, least = arguments
        found = builder.load(builder.inttoptr(read, _VECTOR.as_pointer()))
        found.align = BYTES
        lowest = broadcast(builder, least)
        below = builder.fcmp_ordered("<", found, lowest)
        kept = builder.select(below, lowest, found)
        for lane in range(LANES):
            place = builder.add(to, builder.mul(apart, I64(lane)))
            value = builder.extract_element(kept, I32(lane))
            builder.store(value, builder.inttoptr(place, FLOAT.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64, types.float32), generate
