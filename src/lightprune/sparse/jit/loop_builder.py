"""A loop over sparse entries whose accumulators stay in vector registers, emitted as LLVM IR."""

from abc import ABC, abstractmethod

from llvmlite import ir
from numba.core import cgutils

from lightprune.sparse.isa.register_blocks import LANES

FLOAT = ir.FloatType()
I32 = ir.IntType(32)
I64 = ir.IntType(64)
BYTES = 4


class LoopBuilder(ABC):
    """Emits a loop over the entries `begin` to `end`, and the parts of its body."""

    def __init__(self, builder: ir.IRBuilder, lanes: int = LANES) -> None:
        self.builder = builder
        self.vector = ir.VectorType(FLOAT, lanes)
        self._fma = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module,
            ir.FunctionType(self.vector, [self.vector] * 3),
            f"llvm.fma.v{lanes}f32",
        )

    @abstractmethod
    def body(self, number: ir.Value, accumulators: list[ir.Value]) -> list[ir.Value]:
        """Emits the loop's body; returns the accumulators after entry `number`."""

    def emit_loop(self, begin: ir.Value, end: ir.Value, initial: list[ir.Value]) -> list[ir.Value]:
        """Emits the loop; returns the accumulators after the last entry."""
        b, entry = self.builder, self.builder.block
        loop, done = b.append_basic_block("loop"), b.append_basic_block("done")
        b.cbranch(b.icmp_signed("<", begin, end), loop, done)
        b.position_at_end(loop)
        number = b.phi(I64)
        number.add_incoming(begin, entry)
        accumulators = [b.phi(self.vector) for _ in initial]
        after = self.body(number, accumulators)
        following = b.add(number, ir.Constant(I64, 1))
        number.add_incoming(following, loop)
        for phi, first, last in zip(accumulators, initial, after, strict=True):
            phi.add_incoming(first, entry)
            phi.add_incoming(last, loop)
        b.cbranch(b.icmp_signed("<", following, end), loop, done)
        b.position_at_end(done)
        results = []
        for first, last in zip(initial, after, strict=True):
            phi = b.phi(self.vector)
            phi.add_incoming(first, entry)
            phi.add_incoming(last, loop)
            results.append(phi)
        return results

    def multiply_add(self, first: ir.Value, second: ir.Value, added: ir.Value) -> ir.Value:
        """The product of two vectors plus a third, rounded once."""
        return self.builder.call(self._fma, [first, second, added])

    def load_element(
        self, array: ir.Value, row: ir.Value, column: int, columns: int, kind: ir.Type
    ) -> ir.Value:
        """The element (row, column) of an array of four-byte values with so many columns."""
        first = self.address(array, row, BYTES * columns)
        address = self.address(first, ir.Constant(I64, column), BYTES) if column else first
        loaded = self.builder.load(self.pointer(address, kind))
        loaded.align = BYTES
        return loaded

    def address(self, base: ir.Value, count: ir.Value, size: int) -> ir.Value:
        """The address `count` items of `size` bytes after `base`."""
        return self.builder.add(base, self.builder.mul(count, ir.Constant(I64, size)))

    def load(self, address: ir.Value) -> ir.Value:
        """The vector at an address."""
        loaded = self.builder.load(self.pointer(address, self.vector))
        loaded.align = BYTES
        return loaded

    def store(self, value: ir.Value, address: ir.Value) -> None:
        """Writes a vector to an address."""
        self.builder.store(value, self.pointer(address, self.vector)).align = BYTES

    def prefetch(self, address: ir.Value) -> None:
        """Prefetches the cache line at an address, which need not be valid."""
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), I32, I32, I32])
        prefetch = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            self.builder.module, kind, "llvm.prefetch.p0"
        )
        for_reading, high_locality, data_cache = I32(0), I32(3), I32(1)
        pointer = self.pointer(address, ir.IntType(8))
        self.builder.call(prefetch, [pointer, for_reading, high_locality, data_cache])

    def pointer(self, address: ir.Value, kind: ir.Type) -> ir.Value:
        """An address as a pointer."""
        return self.builder.inttoptr(address, kind.as_pointer())
