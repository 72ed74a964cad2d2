"""Single steps on vectors in memory, for compiled code: `LANES` float32 values at an address."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from lightprune.sparse.blocks import LANES
from lightprune.sparse.microkernel import widened

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_Combine = Callable[[ir.IRBuilder, ir.Value, ir.Value], ir.Value]


def _pointer(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return builder.inttoptr(address, _VECTOR.as_pointer())


def _load(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    loaded = builder.load(_pointer(builder, address))
    loaded.align = 4
    return loaded


def _store(builder: ir.IRBuilder, value: ir.Value, address: ir.Value) -> None:
    builder.store(value, _pointer(builder, address)).align = 4


def _larger(builder: ir.IRBuilder, new: ir.Value, old: ir.Value) -> ir.Value:
    """The larger of two; NaN if either is."""
    above = builder.fcmp_ordered(">", new, old)
    unknown = builder.fcmp_unordered("uno", new, new)
    return builder.select(builder.or_(above, unknown), new, old)


def _into(combine: _Combine) -> Any:
    """(to, read) -> what is at `to` becomes `combine(what is at read, what was at to)`."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        to, read = arguments
        new = combine(builder, _load(builder, read), _load(builder, to))
        _store(builder, new, to)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def copy_vector(_typing, to, read):
    """Copies a vector."""
    return _into(lambda _builder, new, _old: new)


@intrinsic
def add_vector(_typing, to, read):
    """Adds the vector at `read` to the one at `to`."""
    return _into(lambda builder, new, old: builder.fadd(old, new))


@intrinsic
def max_vector(_typing, to, read):
    """Leaves the larger of both at `to`, NaN if either is."""
    return _into(_larger)


@intrinsic
def clamp_vector(_typing, to, least):
    """Raises what lies below `least` to it, but for NaN."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        to, least = arguments
        lowest, value = widened(builder, least), _load(builder, to)
        below = builder.fcmp_ordered("<", value, lowest)
        _store(builder, builder.select(below, lowest, value), to)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), generate


@intrinsic
def fill_vector(_typing, to, value):
    """Writes the value to every lane."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        to, value = arguments
        _store(builder, widened(builder, value), to)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), generate


def _gathered(
    builder: ir.IRBuilder, base: ir.Value, indices: ir.Value, otherwise: ir.Value
) -> ir.Value:
    """The values at the base plus the int32 indices at an address; `otherwise` where negative."""
    numbers = ir.VectorType(ir.IntType(32), LANES)
    wide = ir.VectorType(ir.IntType(64), LANES)
    pointers = ir.VectorType(ir.FloatType().as_pointer(), LANES)
    index = builder.load(builder.inttoptr(indices, numbers.as_pointer()))
    index.align = 4
    within = builder.icmp_signed(">=", index, ir.Constant(numbers, [0] * LANES))
    offsets = builder.shl(builder.sext(index, wide), ir.Constant(wide, [2] * LANES))
    starts = builder.insert_element(ir.Constant(wide, ir.Undefined), base, ir.IntType(32)(0))
    starts = builder.shuffle_vector(
        starts, starts, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    )
    places = builder.inttoptr(builder.add(starts, offsets), pointers)
    flags = ir.VectorType(ir.IntType(1), LANES)
    kind = ir.FunctionType(_VECTOR, [pointers, ir.IntType(32), flags, _VECTOR])
    gather = cgutils.get_or_insert_function(
        builder.module, kind, f"llvm.masked.gather.v{LANES}f32.v{LANES}p0"
    )
    return builder.call(gather, [places, ir.IntType(32)(4), within, otherwise])


@intrinsic
def gather_vector(_typing, to, base, indices):
    """Collects the values at the base plus int32 indices; 0 where an index is negative."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        to, base, indices = arguments
        zeros = ir.Constant(_VECTOR, [0.0] * LANES)
        _store(builder, _gathered(builder, base, indices, zeros), to)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def max_gathered(_typing, to, base, indices):
    """Leaves the larger of what is at `to` and what lies at the indices, NaN if either is."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        to, base, indices = arguments
        old = _load(builder, to)
        new = _gathered(builder, base, indices, old)
        _store(builder, _larger(builder, new, old), to)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@intrinsic
def copy_lanes(_typing, to, read, lanes):
    """Copies the lanes whose int32 at the address `lanes` is -1; where it is 0 writes 0."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        to, read, lanes = arguments
        numbers = ir.VectorType(ir.IntType(32), LANES)
        within = builder.load(builder.inttoptr(lanes, numbers.as_pointer()))
        within.align = 4
        kept = builder.and_(builder.bitcast(_load(builder, read), numbers), within)
        _store(builder, builder.bitcast(kept, _VECTOR), to)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate
