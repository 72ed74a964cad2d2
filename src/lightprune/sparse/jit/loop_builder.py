"""A loop over weights that keeps vectors of sums in registers, in LLVM IR."""

from abc import ABC, abstractmethod

from llvmlite import ir
from numba.core import cgutils

from lightprune.sparse.isa.register_blocks import LANES

FLOAT = ir.FloatType()
I32 = ir.IntType(32)
I64 = ir.IntType(64)
BYTES = 4


class LoopBuilder(ABC):
    """Emits a loop over numbers from `begin` to `end`, and what its body is made of."""

    def __init__(
        self, builder: ir.IRBuilder, begin: ir.Value, end: ir.Value, lanes: int = LANES
    ) -> None:
        """Writes at the builder's place."""
        self.builder = builder
        self.begin = begin
        self.end = end
        self.vector = ir.VectorType(FLOAT, lanes)
        self._fma = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            builder.module,
            ir.FunctionType(self.vector, [self.vector] * 3),
            f"llvm.fma.v{lanes}f32",
        )

    @abstractmethod
    def one(self, number: ir.Value, held: list[ir.Value]) -> list[ir.Value]:
        """The sums after one number's weights."""

    def summed(self, sums: list[ir.Value]) -> list[ir.Value]:
        """The sums after every number from `begin` to `end`."""
        b, entry = self.builder, self.builder.block
        loop, done = b.append_basic_block("loop"), b.append_basic_block("done")
        b.cbranch(b.icmp_signed("<", self.begin, self.end), loop, done)
        b.position_at_end(loop)
        number = b.phi(I64)
        number.add_incoming(self.begin, entry)
        held = [b.phi(self.vector) for _ in sums]
        after = self.one(number, held)
        following = b.add(number, ir.Constant(I64, 1))
        number.add_incoming(following, loop)
        for phi, first, last in zip(held, sums, after, strict=True):
            phi.add_incoming(first, entry)
            phi.add_incoming(last, loop)
        b.cbranch(b.icmp_signed("<", following, self.end), loop, done)
        b.position_at_end(done)
        results = []
        for first, last in zip(sums, after, strict=True):
            phi = b.phi(self.vector)
            phi.add_incoming(first, entry)
            phi.add_incoming(last, loop)
            results.append(phi)
        return results

    def multiply_add(self, first: ir.Value, second: ir.Value, added: ir.Value) -> ir.Value:
        """The product of two vectors plus a third, rounded once."""
        return self.builder.call(self._fma, [first, second, added])

    def scalar(
        self, array: ir.Value, number: ir.Value, which: int, each: int, kind: ir.Type
    ) -> ir.Value:
        """Value `which` of the `each` values that an array holds for a number."""
        first = self.plus(array, number, BYTES * each)
        address = self.plus(first, ir.Constant(I64, which), BYTES) if which else first
        loaded = self.builder.load(self.pointer(address, kind))
        loaded.align = BYTES
        return loaded

    def plus(self, base: ir.Value, count: ir.Value, size: int) -> ir.Value:
        """The address so many things of a size after another."""
        return self.builder.add(base, self.builder.mul(count, ir.Constant(I64, size)))

    def load(self, address: ir.Value) -> ir.Value:
        """The vector at an address."""
        loaded = self.builder.load(self.pointer(address, self.vector))
        loaded.align = BYTES
        return loaded

    def store(self, value: ir.Value, address: ir.Value) -> None:
        """Writes a vector to an address."""
        self.builder.store(value, self.pointer(address, self.vector)).align = BYTES

    def ask_for(self, address: ir.Value) -> None:
        """Has the cache line at an address, which need not exist, brought near."""
        kind = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), I32, I32, I32])
        prefetch = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
            self.builder.module, kind, "llvm.prefetch.p0"
        )
        read, often, data = I32(0), I32(3), I32(1)
        self.builder.call(prefetch, [self.pointer(address, ir.IntType(8)), read, often, data])

    def pointer(self, address: ir.Value, kind: ir.Type) -> ir.Value:
        """An address as a pointer."""
        return self.builder.inttoptr(address, kind.as_pointer())
