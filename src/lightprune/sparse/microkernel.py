"""The inner loop of the sparse runtime: vectors of outputs held in registers, in LLVM IR.

Numba compiles it into the functions that call it. Written in its own Python it would spill the
accumulators to memory at every weight: the loop is fast because they stay in registers while the
weights of one output channel stream past.
"""

from collections.abc import Sequence

from llvmlite import ir
from numba.core import cgutils

from lightprune.sparse.blocks import FROM_OUTPUT, FROM_RESIDUAL, LANES, Block

_FLOAT = ir.FloatType()
_I32 = ir.IntType(32)
_I64 = ir.IntType(64)
_BYTES = 4


def widened(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """The scalar in every lane."""
    vector = ir.VectorType(_FLOAT, LANES)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(_I32, 0))
    zeros = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
    return builder.shuffle_vector(first, undefined, zeros)


class Pass:
    """Emits the code of one block shape."""

    def __init__(self, builder: ir.IRBuilder, block: Block, arguments: Sequence[ir.Value]) -> None:
        """Takes the arguments of `multiply.multiply_block` but the first."""
        (
            self.start_from,
            self.output,
            self.output_row,
            self.output_plane,
            self.residual,
            self.residual_row,
            self.residual_plane,
            self.bias,
            self.input,
            self.input_row,
            self.offsets,
            self.weights,
            self.begin,
            self.end,
            self.least,
        ) = arguments
        self.builder = builder
        self.block = block
        self.vector = ir.VectorType(_FLOAT, LANES)
        self.fma = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module,
            ir.FunctionType(self.vector, [self.vector] * 3),
            f"llvm.fma.v{LANES}f32",
        )

    def emit(self) -> None:
        """Writes the code at the builder's place, and leaves that after it."""
        results = self._multiplied(self._started())
        lowest = widened(self.builder, self.least)
        for address, value in zip(self._outputs(), results, strict=True):
            # This order of comparison lets a NaN through, as ReLU does.
            below = self.builder.fcmp_ordered("<", value, lowest)
            kept = self.builder.select(below, lowest, value)
            self.builder.store(kept, self._pointer(address, self.vector)).align = _BYTES

    def _started(self) -> list[ir.Value]:
        """The accumulators' first values, by `start_from`."""
        b = self.builder
        merged, from_bias = b.append_basic_block("started"), b.append_basic_block("bias")
        residual, output = b.append_basic_block("residual"), b.append_basic_block("output")
        switch = b.switch(self.start_from, from_bias)
        switch.add_case(ir.Constant(_I64, FROM_RESIDUAL), residual)
        switch.add_case(ir.Constant(_I64, FROM_OUTPUT), output)
        incoming = []
        for block, values in (
            (from_bias, self._biases),
            (residual, self._biased_residuals),
            (output, lambda: [self._load(a) for a in self._outputs()]),
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

    def _multiplied(self, accumulators: list[ir.Value]) -> list[ir.Value]:
        """The accumulators after every weight from `begin` to `end`."""
        b, entry = self.builder, self.builder.block
        loop, done = b.append_basic_block("loop"), b.append_basic_block("done")
        b.cbranch(b.icmp_signed("<", self.begin, self.end), loop, done)
        b.position_at_end(loop)
        number = b.phi(_I64)
        number.add_incoming(self.begin, entry)
        held = [b.phi(self.vector) for _ in accumulators]
        after = self._one_weight(number, held)
        following = b.add(number, ir.Constant(_I64, 1))
        number.add_incoming(following, loop)
        for phi, first, last in zip(held, accumulators, after, strict=True):
            phi.add_incoming(first, entry)
            phi.add_incoming(last, loop)
        b.cbranch(b.icmp_signed("<", following, self.end), loop, done)
        b.position_at_end(done)
        results = []
        for first, last in zip(accumulators, after, strict=True):
            phi = b.phi(self.vector)
            phi.add_incoming(first, entry)
            phi.add_incoming(last, loop)
            results.append(phi)
        return results

    def _one_weight(self, number: ir.Value, held: list[ir.Value]) -> list[ir.Value]:
        """The accumulators after the weights of one position, or of one a list."""
        grouping, vectors = self.block.grouping, self.block.vectors
        inputs = [
            [self._load(a) for a in self._places(base, self.input_row)]
            for base in self._read_at(number)
        ]
        weights = [
            self._scalar(self.weights, number, channel, grouping.channels, _FLOAT)
            for channel in range(grouping.channels)
        ]
        return [
            self.builder.call(self.fma, [weight, read, held[channel * vectors + place]])
            for channel, weight in enumerate(widened(self.builder, w) for w in weights)
            for place, read in enumerate(inputs[0 if grouping.shared else channel])
        ]

    def _read_at(self, number: ir.Value) -> list[ir.Value]:
        """Where every list reads: two offsets are loaded at once."""
        b, grouping = self.builder, self.block.grouping
        if grouping.shared:
            offsets = [b.sext(self._scalar(self.offsets, number, 0, 1, _I32), _I64)]
        else:
            offsets, lists = [], grouping.channels
            for pair in range(0, lists, 2):
                both = self._scalar(self.offsets, number, pair, lists, _I64)
                offsets.append(b.sext(b.trunc(both, _I32), _I64))
                offsets.append(b.ashr(both, ir.Constant(_I64, 32)))
        return [b.add(self.input, offset) for offset in offsets]

    def _scalar(
        self, array: ir.Value, number: ir.Value, which: int, each: int, kind: ir.Type
    ) -> ir.Value:
        """Value `which` of the `each` values that an array holds for a position."""
        first = self._plus(array, number, _BYTES * each)
        address = self._plus(first, ir.Constant(_I64, which), _BYTES) if which else first
        loaded = self.builder.load(self._pointer(address, kind))
        loaded.align = _BYTES
        return loaded

    def _biases(self) -> list[ir.Value]:
        values = []
        for channel in range(self.block.grouping.channels):
            place = self._plus(self.bias, ir.Constant(_I64, channel), _BYTES)
            wide = widened(self.builder, self.builder.load(self._pointer(place, _FLOAT)))
            values += [wide] * self.block.vectors
        return values

    def _biased_residuals(self) -> list[ir.Value]:
        added = [
            self._load(a)
            for a in self._planes(self.residual, self.residual_plane, self.residual_row)
        ]
        return [
            self.builder.fadd(bias, value)
            for bias, value in zip(self._biases(), added, strict=True)
        ]

    def _outputs(self) -> list[ir.Value]:
        return self._planes(self.output, self.output_plane, self.output_row)

    def _planes(self, base: ir.Value, plane: ir.Value, row: ir.Value) -> list[ir.Value]:
        return [
            address
            for channel in range(self.block.grouping.channels)
            for address in self._places(
                self._plus(base, plane, channel * _BYTES) if channel else base, row
            )
        ]

    def _places(self, base: ir.Value, row: ir.Value) -> list[ir.Value]:
        """Addresses of the block's vectors in one plane."""
        rows = [
            self._plus(base, row, number * _BYTES) if number else base
            for number in range(self.block.rows)
        ]
        return [
            self._plus(start, ir.Constant(_I64, column), LANES * _BYTES) if column else start
            for start in rows
            for column in range(self.block.columns)
        ]

    def _plus(self, base: ir.Value, count: ir.Value, size: int) -> ir.Value:
        return self.builder.add(base, self.builder.mul(count, ir.Constant(_I64, size)))

    def _load(self, address: ir.Value) -> ir.Value:
        loaded = self.builder.load(self._pointer(address, self.vector))
        loaded.align = _BYTES
        return loaded

    def _pointer(self, address: ir.Value, kind: ir.Type) -> ir.Value:
        return self.builder.inttoptr(address, kind.as_pointer())
