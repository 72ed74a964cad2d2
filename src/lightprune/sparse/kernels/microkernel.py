"""The inner loop of the sparse runtime: vectors of outputs held in registers, in LLVM IR.

Numba compiles it into the functions that call it. Written in its own Python it would spill the
accumulators to memory at every weight: the loop is fast because they stay in registers while the
weights of one output channel stream past.
"""

from collections.abc import Sequence

from llvmlite import ir

from lightprune.sparse.isa.register_blocks import FROM_OUTPUT, FROM_RESIDUAL, LANES, RegisterBlock
from lightprune.sparse.jit.loop_builder import BYTES, FLOAT, I32, I64, LoopBuilder


def broadcast(builder: ir.IRBuilder, value: ir.Value, lanes: int = LANES) -> ir.Value:
    """The scalar in every lane."""
    vector = ir.VectorType(FLOAT, lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(I32, 0))
    zeros = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, undefined, zeros)


class Microkernel(LoopBuilder):
    """Emits the code of one block shape."""

    def __init__(
        self, builder: ir.IRBuilder, block: RegisterBlock, arguments: Sequence[ir.Value]
    ) -> None:
        """Takes the arguments of `multiply.multiply_block` but the first."""
        (
            self.start_from,
            self.output,
            self.output_row,
            self.output_plane,
            self.residual,
            self.residual_row,
            self.residual_plane,
            self.order,
            self.bias,
            self.input,
            self.input_row,
            self.offsets,
            self.weights,
            begin,
            end,
            self.least,
        ) = arguments
        super().__init__(builder, begin, end, block.grouping.lanes)
        self.block = block

    def emit(self) -> None:
        """Writes the code at the builder's place, and leaves that after it."""
        results = self.summed(self._started())
        lowest = self._widened(self.least)
        for address, value in zip(self._outputs(), results, strict=True):
            # This order of comparison lets a NaN through, as ReLU does.
            below = self.builder.fcmp_ordered("<", value, lowest)
            kept = self.builder.select(below, lowest, value)
            self.store(kept, address)

    def _started(self) -> list[ir.Value]:
        """The accumulators' first values, by `start_from`."""
        b = self.builder
        merged, from_bias = b.append_basic_block("started"), b.append_basic_block("bias")
        residual, output = b.append_basic_block("residual"), b.append_basic_block("output")
        switch = b.switch(self.start_from, from_bias)
        switch.add_case(ir.Constant(I64, FROM_RESIDUAL), residual)
        switch.add_case(ir.Constant(I64, FROM_OUTPUT), output)
        incoming = []
        for block, values in (
            (from_bias, self._biases),
            (residual, self._biased_residuals),
            (output, lambda: [self.load(a) for a in self._outputs()]),
        ):
            b.position_at_end(block)
            incoming.append((values(), b.block))
            b.branch(merged)
        b.position_at_end(merged)
        accumulators = []
        for number in range(self.block.accumulators):
            phi = b.phi(self.vector)
            for found, block in incoming:
                phi.add_incoming(found[number], block)
            accumulators.append(phi)
        return accumulators

    def one(self, number: ir.Value, held: list[ir.Value]) -> list[ir.Value]:
        """The accumulators after the weights of one position, or of one a list."""
        grouping, vectors = self.block.grouping, self.block.vectors
        inputs = [
            [self.load(a) for a in self._places(base, self.input_row)]
            for base in self._read_at(number)
        ]
        weights = [
            self.scalar(self.weights, number, channel, grouping.channels, FLOAT)
            for channel in range(grouping.channels)
        ]
        return [
            self.multiply_add(weight, read, held[channel * vectors + place])
            for channel, weight in enumerate(map(self._widened, weights))
            for place, read in enumerate(inputs[0 if grouping.shared else channel])
        ]

    def _read_at(self, number: ir.Value) -> list[ir.Value]:
        """Where every list reads: two offsets are loaded at once."""
        b, grouping = self.builder, self.block.grouping
        if grouping.shared:
            offsets = [b.sext(self.scalar(self.offsets, number, 0, 1, I32), I64)]
        else:
            offsets, lists = [], grouping.channels
            for pair in range(0, lists, 2):
                both = self.scalar(self.offsets, number, pair, lists, I64)
                offsets.append(b.sext(b.trunc(both, I32), I64))
                offsets.append(b.ashr(both, ir.Constant(I64, 32)))
        return [b.add(self.input, offset) for offset in offsets]

    def _biases(self) -> list[ir.Value]:
        values = []
        for channel in range(self.block.grouping.channels):
            place = self.plus(self.bias, ir.Constant(I64, channel), BYTES)
            wide = self._widened(self.builder.load(self.pointer(place, FLOAT)))
            values += [wide] * self.block.vectors
        return values

    def _biased_residuals(self) -> list[ir.Value]:
        added = [
            self.load(a)
            for a in self._planes(self.residual, self.residual_plane, self.residual_row)
        ]
        return [
            self.builder.fadd(bias, value)
            for bias, value in zip(self._biases(), added, strict=True)
        ]

    def _widened(self, value: ir.Value) -> ir.Value:
        return broadcast(self.builder, value, self.block.grouping.lanes)

    def _outputs(self) -> list[ir.Value]:
        return self._planes(self.output, self.output_plane, self.output_row)

    def _planes(self, base: ir.Value, plane: ir.Value, row: ir.Value) -> list[ir.Value]:
        return [
            address
            for channel in range(self.block.grouping.channels)
            for address in self._places(self._of(channel, base, plane), row)
        ]

    def _of(self, number: int, base: ir.Value, plane: ir.Value) -> ir.Value:
        """The address in the group's channel of that number."""
        channel = self.builder.load(self.pointer(self.plus(self.order, I64(number), 8), I64))
        return self.plus(base, self.builder.mul(channel, plane), BYTES)

    def _places(self, base: ir.Value, row: ir.Value) -> list[ir.Value]:
        """Addresses of the block's vectors in one plane."""
        rows = [
            self.plus(base, row, number * BYTES) if number else base
            for number in range(self.block.rows)
        ]
        size = self.block.grouping.lanes * BYTES
        return [
            self.plus(start, ir.Constant(I64, column), size) if column else start
            for start in rows
            for column in range(self.block.columns)
        ]
