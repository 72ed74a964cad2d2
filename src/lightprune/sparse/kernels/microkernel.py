"""The inner loop with pixels or images in the lanes: outputs accumulate in registers, in LLVM IR.

Numba compiles it into the functions that call it. Written in its Python, it would spill the
accumulators to memory at every weight: the loop is fast because they stay in registers while the
weights of some output channels stream past.
"""

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from lightprune.sparse.isa.register_blocks import (
    FROM_OUTPUT,
    LANES,
    PLUS_BIAS,
    PLUS_RESIDUAL,
    REGISTER_BLOCKS,
    RegisterBlock,
)
from lightprune.sparse.jit.atomics import code_of
from lightprune.sparse.jit.loop_builder import BYTES, FLOAT, I32, I64, LoopBuilder


def broadcast(builder: ir.IRBuilder, value: ir.Value, lanes: int = LANES) -> ir.Value:
    """The scalar in every lane."""
    vector = ir.VectorType(FLOAT, lanes)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(I32, 0))
    zeros = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return builder.shuffle_vector(first, undefined, zeros)


def raise_to(builder: ir.IRBuilder, value: ir.Value, minimum: ir.Value) -> ir.Value:
    """The vector with lanes below those of `minimum` raised to them; NaN stays, as in ReLU."""
    below = builder.fcmp_ordered("<", value, minimum)
    return builder.select(below, minimum, value)


def switch_over_blocks(
    builder: ir.IRBuilder,
    arguments: Sequence[ir.Value],
    microkernel: Callable[[ir.IRBuilder, RegisterBlock, Sequence[ir.Value]], Any],
    channel_lanes: bool,
) -> None:
    """Emits a switch over the index of a register block, which is the first argument.

    Every case is the `microkernel` of that block, with the other arguments.
    """
    index, *rest = arguments
    ended, unknown = builder.append_basic_block("ended"), builder.append_basic_block("unknown")
    switch = builder.switch(index, unknown)
    for number, block in enumerate(REGISTER_BLOCKS):
        if block.channel_block.channel_lanes == channel_lanes:
            case = builder.append_basic_block(f"block{number}")
            switch.add_case(I64(number), case)
            builder.position_at_end(case)
            microkernel(builder, block, rest).emit()
            builder.branch(ended)
    builder.position_at_end(unknown)
    builder.unreachable()
    builder.position_at_end(ended)


class Microkernel(LoopBuilder):
    """Emits the code of one register block from the arguments of `multiply_block`."""

    def __init__(
        self, builder: ir.IRBuilder, block: RegisterBlock, arguments: Sequence[ir.Value]
    ) -> None:
        self.init, self.final, *tuples, self.minimum = arguments
        self.output, self.residual, channels, inputs, entries, self.kernel_rows = (
            cgutils.unpack_tuple(builder, values) for values in tuples
        )
        self.channel_order, self.bias = channels
        self.input, self.input_row_stride = inputs
        self.offsets, self.weights, self.begin, self.end = entries
        super().__init__(builder, block.channel_block.lanes)
        self.block = block
        self.rows = range(block.rows)

    def emit(self) -> None:
        """Emits initialization, loop, and the stores of the clamped outputs."""
        results = self._finished(self._sum(self._initial_accumulators()))
        minimum = self._broadcast(self.minimum)
        addresses = self._channel_addresses(*self.output)
        for address, value in zip(addresses, results, strict=True):
            self.store(raise_to(self.builder, value, minimum), address)

    def _sum(self, sums: list[ir.Value]) -> list[ir.Value]:
        """The sums after all entries; see `TapRows` for the rows of the kernel."""
        rows, columns = self.block.rows, self.block.columns
        if not self.block.skips_rows:
            return self.emit_loop(self.begin, self.end, sums)
        starts, *bounds = self.kernel_rows
        whole, rest = (
            self.builder.load(self.pointer(self.address(starts, bound, 8), I64)) for bound in bounds
        )
        self.rows = range(1, rows)
        sums[columns:] = self.emit_loop(self.begin, whole, sums[columns:])
        self.rows = range(rows)
        sums = self.emit_loop(whole, rest, sums)
        self.rows = range(rows - 1)
        sums[:-columns] = self.emit_loop(rest, self.end, sums[:-columns])
        self.rows = range(rows)
        return sums

    def _initial_accumulators(self) -> list[ir.Value]:
        b = self.builder
        zeros = [ir.Constant(self.vector, None)] * self.block.accumulators
        before, output = b.block, b.append_basic_block("output")
        merged = b.append_basic_block("started")
        b.cbranch(b.icmp_signed("==", self.init, I64(FROM_OUTPUT)), output, merged)
        b.position_at_end(output)
        outputs = [self.load(a) for a in self._channel_addresses(*self.output)]
        b.branch(merged)
        b.position_at_end(merged)
        return self._merge((before, zeros), (output, outputs))

    def _finished(self, sums: list[ir.Value]) -> list[ir.Value]:
        """The sums plus the bias and the residual, as far as `final` says so."""
        b = self.builder
        before, bias = b.block, b.append_basic_block("bias")
        residual, merged = b.append_basic_block("residual"), b.append_basic_block("finished")
        switch = b.switch(self.final, merged)
        switch.add_case(I64(PLUS_BIAS), bias)
        switch.add_case(I64(PLUS_RESIDUAL), residual)
        incoming = [(before, sums)]
        for block, is_residual in ((bias, False), (residual, True)):
            b.position_at_end(block)
            values = self._sums(sums, self._biases())
            if is_residual:
                addresses = self._channel_addresses(*self.residual)
                values = self._sums(values, [self.load(address) for address in addresses])
            incoming.append((block, values))
            b.branch(merged)
        b.position_at_end(merged)
        return self._merge(*incoming)

    def _merge(self, *incoming: tuple[ir.Block, list[ir.Value]]) -> list[ir.Value]:
        """The values of whichever block was run before this one."""
        merged = [self.builder.phi(self.vector) for _ in range(self.block.accumulators)]
        for block, values in incoming:
            for phi, value in zip(merged, values, strict=True):
                phi.add_incoming(value, block)
        return merged

    def _sums(self, first: list[ir.Value], second: list[ir.Value]) -> list[ir.Value]:
        return [self.builder.fadd(a, b) for a, b in zip(first, second, strict=True)]

    def body(self, number: ir.Value, accumulators: list[ir.Value]) -> list[ir.Value]:
        """The accumulators after entry `number`: one weight a channel, one offset a list."""
        channel_block = self.block.channel_block
        vectors = len(self.rows) * self.block.columns
        inputs = [
            [self.load(a) for a in self._vector_addresses(base, self.input_row_stride)]
            for base in self._input_addresses(number)
        ]
        weights = [
            self.load_element(self.weights, number, channel, channel_block.channels, FLOAT)
            for channel in range(channel_block.channels)
        ]
        return [
            self.multiply_add(weight, value, accumulators[channel * vectors + vector])
            for channel, weight in enumerate(map(self._broadcast, weights))
            for vector, value in enumerate(inputs[0 if channel_block.shared else channel])
        ]

    def _input_addresses(self, number: ir.Value) -> list[ir.Value]:
        """What every list reads: two offsets are loaded at once."""
        b, lists = self.builder, self.block.channel_block.lists
        if lists == 1:
            offsets = [b.sext(self.load_element(self.offsets, number, 0, 1, I32), I64)]
        else:
            offsets = []
            for pair in range(0, lists, 2):
                both = self.load_element(self.offsets, number, pair, lists, I64)
                offsets.append(b.sext(b.trunc(both, I32), I64))
                offsets.append(b.ashr(both, ir.Constant(I64, 32)))
        return [b.add(self.input, offset) for offset in offsets]

    def _biases(self) -> list[ir.Value]:
        values = []
        for channel in range(self.block.channel_block.channels):
            address = self.address(self.bias, ir.Constant(I64, channel), BYTES)
            bias = self._broadcast(self.builder.load(self.pointer(address, FLOAT)))
            values += [bias] * self.block.vectors
        return values

    def _broadcast(self, value: ir.Value) -> ir.Value:
        return broadcast(self.builder, value, self.block.channel_block.lanes)

    def _channel_addresses(
        self, base: ir.Value, row_stride: ir.Value, channel_stride: ir.Value
    ) -> list[ir.Value]:
        b, addresses = self.builder, []
        for number in range(self.block.channel_block.channels):
            entry = self.pointer(self.address(self.channel_order, I64(number), 8), I64)
            start = self.address(base, b.mul(b.load(entry), channel_stride), BYTES)
            addresses += self._vector_addresses(start, row_stride)
        return addresses

    def _vector_addresses(self, base: ir.Value, row_stride: ir.Value) -> list[ir.Value]:
        rows = [
            self.address(base, row_stride, number * BYTES) if number else base
            for number in self.rows
        ]
        size = self.block.channel_block.lanes * BYTES
        return [
            self.address(start, ir.Constant(I64, column), size) if column else start
            for start in rows
            for column in range(self.block.columns)
        ]


@intrinsic
def multiply_block(
    _typing, block, init, final, output, residual, channels, inputs, entries, kernel_rows, minimum
):
    """Multiplies some entries into one block of outputs.

    Addresses are int64; strides count float32 values.

    Args:
        block: Index in `REGISTER_BLOCKS`.
        init: `FROM_ZERO` or `FROM_OUTPUT`.
        final: `PLUS_NOTHING`, `PLUS_BIAS` or `PLUS_RESIDUAL`.
        output: Address of the block's first output in channel 0, row stride, channel stride.
        residual: The same of the residuals.
        channels: Addresses of int64, the group's channels, and of one float32 bias each.
        inputs: Address that the offsets count from, and the inputs' row stride.
        entries: Addresses of int32 byte offsets, one a list and entry, and of float32 weights, one
            a channel and entry; the first entry, and the one after the last.
        kernel_rows: Address of int64, the first entry of every row of the kernel; `whole` and
            `rest` of a `TileRecord`.
        minimum: Outputs are raised to it: 0 for a ReLU, minus infinity for none.
    """
    addresses = (types.UniTuple(types.int64, count) for count in (3, 3, 2, 2, 4, 3))
    return code_of(
        types.void(*(types.int64,) * 3, *addresses, types.float32),
        lambda b, *values: switch_over_blocks(b, values, Microkernel, channel_lanes=False),
    )
