"""The inner loop with output channels in the lanes, for maps too small to fill them; LLVM IR."""

from collections.abc import Sequence

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from lightprune.sparse.isa.register_blocks import CACHE_LINE, LANES, RegisterBlock
from lightprune.sparse.jit.atomics import code_of
from lightprune.sparse.jit.loop_builder import BYTES, FLOAT, I32, I64, LoopBuilder
from lightprune.sparse.kernels.microkernel import broadcast, raise_to, switch_over_blocks

# How far ahead of their use weights are prefetched, in bytes.
_PREFETCH_DISTANCE = 2048
_VECTOR = ir.VectorType(FLOAT, LANES)


class _ChannelMicrokernel(LoopBuilder):
    """Emits the code of one register block: a row of weights times a few inputs."""

    def __init__(
        self, builder: ir.IRBuilder, block: RegisterBlock, arguments: Sequence[ir.Value]
    ) -> None:
        self.accumulators, self.input, self.offsets, self.weights, self.begin, self.end = arguments
        super().__init__(builder)
        self.block = block

    def emit(self):
        addresses = self._vector_addresses(self.accumulators, self.block.accumulators)
        results = self.emit_loop(
            self.begin, self.end, [self.load(address) for address in addresses]
        )
        for address, result in zip(addresses, results, strict=True):
            self.store(result, address)

    def body(self, number: ir.Value, accumulators: list[ir.Value]) -> list[ir.Value]:
        """The accumulators after entry `number`: a weight for every channel, times every pixel."""
        b, channels = self.builder, self.block.channel_block.channels
        offset = b.sext(self.load_element(self.offsets, number, 0, 1, I32), I64)
        base = b.add(self.input, offset)
        row = self.address(self.weights, number, BYTES * channels)
        for line in range(0, BYTES * channels, CACHE_LINE):
            self.prefetch(b.add(row, ir.Constant(I64, line + _PREFETCH_DISTANCE)))
        weights = [self.load(address) for address in self._vector_addresses(row, channels // LANES)]
        inputs = [
            broadcast(b, self.load_element(base, ir.Constant(I64, column), 0, 1, FLOAT))
            for column in range(self.block.columns)
        ]
        products = [(weight, value) for value in inputs for weight in weights]
        return [
            self.multiply_add(weight, value, accumulator)
            for (weight, value), accumulator in zip(products, accumulators, strict=True)
        ]

    def _vector_addresses(self, base: ir.Value, vectors: int) -> list[ir.Value]:
        return [
            self.address(base, ir.Constant(I64, number), LANES * BYTES) for number in range(vectors)
        ]


@intrinsic
def multiply_channel_block(_typing, block, accumulators, input_, offsets, weights, begin, end):
    """Multiplies the entries `begin` to `end` into the accumulators of one block.

    As `multiply_block`, with the accumulators in memory: float32 (columns of the block, channels).
    The inputs of the columns are neighbours.
    """
    return code_of(
        types.void(*(types.int64,) * 7),
        lambda b, *values: switch_over_blocks(b, values, _ChannelMicrokernel, channel_lanes=True),
    )


@intrinsic
def gather_strided(_typing, to, read, stride):
    """Loads a vector from the address `read` on, one value every `stride` bytes."""

    def emit(builder, to, read, stride):
        vector = ir.Constant(_VECTOR, ir.Undefined)
        for lane in range(LANES):
            address = builder.add(read, builder.mul(stride, I64(lane)))
            value = builder.load(builder.inttoptr(address, FLOAT.as_pointer()))
            vector = builder.insert_element(vector, value, I32(lane))
        builder.store(vector, builder.inttoptr(to, _VECTOR.as_pointer())).align = BYTES

    return code_of(types.void(types.int64, types.int64, types.int64), emit)


@intrinsic
def scatter_strided(_typing, to, read, stride, minimum):
    """Stores a vector from the address `to` on, one value every `stride` bytes.

    Values below `minimum` are raised to it; NaN stays.
    """

    def emit(builder, to, read, stride, minimum):
        vector = builder.load(builder.inttoptr(read, _VECTOR.as_pointer()))
        vector.align = BYTES
        clamped = raise_to(builder, vector, broadcast(builder, minimum))
        for lane in range(LANES):
            address = builder.add(to, builder.mul(stride, I64(lane)))
            value = builder.extract_element(clamped, I32(lane))
            builder.store(value, builder.inttoptr(address, FLOAT.as_pointer()))

    return code_of(types.void(types.int64, types.int64, types.int64, types.float32), emit)
