"""Single steps on vectors in memory, for compiled code: `LANES` float32 values at an address."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from lightprune.sparse.blocks import LANES, processor_has
from lightprune.sparse.columns import MOVE_COLUMNS
from lightprune.sparse.microkernel import widened

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_I64 = ir.IntType(64)
_LANE_NUMBERS = ir.VectorType(ir.IntType(32), LANES)
_NO_LANES = ir.Constant(_LANE_NUMBERS, [0] * LANES)
# The instruction that permutes lanes as another vector says: elsewhere they are read one by one.
_PERMUTATION = next(
    (
        f"llvm.x86.{name}"
        for lanes, feature, name in (
            (16, "avx512f", "avx512.permvar.sf.512"),
            (8, "avx2", "avx2.permps"),
        )
        if lanes == LANES and processor_has(feature)
    ),
    None,
)
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
def max_of_vectors(_typing, to, read, apart, count):
    """Writes the largest of `count` vectors, `apart` bytes from one to the next; NaN if any is."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        to, read, apart, count = arguments
        found = cgutils.alloca_once_value(builder, _load(builder, read))  # type: ignore[no-untyped-call]
        with cgutils.for_range_slice(builder, _I64(1), count, _I64(1)) as (number, _):
            new = _load(builder, builder.add(read, builder.mul(number, apart)))
            builder.store(_larger(builder, new, builder.load(found)), found)
        _store(builder, builder.load(found), to)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4), generate


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


def _permuted(
    builder: ir.IRBuilder, read: ir.Value, chosen: ir.Value, otherwise: ir.Value
) -> ir.Value:
    """The vector at `read` with its lanes as the vector says; `otherwise` where that is below 0."""
    there = builder.icmp_signed(">=", chosen, _NO_LANES)
    if _PERMUTATION:
        kind = ir.FunctionType(_VECTOR, [_VECTOR, _LANE_NUMBERS])
        permute = cgutils.get_or_insert_function(builder.module, kind, _PERMUTATION)
        found = builder.call(permute, [_load(builder, read), chosen])
    else:
        found = ir.Constant(_VECTOR, ir.Undefined)
        safe = builder.select(there, chosen, _NO_LANES)
        for lane in map(ir.IntType(32), range(LANES)):
            distance = builder.sext(builder.extract_element(safe, lane), _I64)
            place = builder.add(read, builder.mul(distance, _I64(4)))
            value = builder.load(builder.inttoptr(place, ir.FloatType().as_pointer()))
            found = builder.insert_element(found, value, lane)
    return builder.select(there, found, otherwise)


def _moved(combine: _Combine | None) -> Any:
    """(to, read, moves, count, lanes): places become `combine(what is moved there, what was)`."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        to, read, moves, count, lanes = arguments
        chosen = builder.load(builder.inttoptr(lanes, _LANE_NUMBERS.as_pointer()))
        chosen.align = 4
        with cgutils.for_range(builder, count) as loop:
            row = builder.add(moves, builder.mul(loop.index, _I64(8 * MOVE_COLUMNS)))
            pair = builder.inttoptr(row, _I64.as_pointer())
            source = builder.add(read, builder.load(pair))
            target = builder.add(to, builder.load(builder.gep(pair, [_I64(1)])))
            if combine is None:
                new = _permuted(builder, source, chosen, ir.Constant(_VECTOR, [0.0] * LANES))
            else:
                old = _load(builder, target)
                new = combine(builder, _permuted(builder, source, chosen, old), old)
            _store(builder, new, target)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 5), generate


@intrinsic
def copy_permuted(_typing, to, read, moves, count, lanes):
    """Moves vectors, their lanes permuted as the int32 at `lanes` say, and 0 where negative.

    Args:
        to: What the moves' places to write to count from.
        read: What the places to read from count from.
        moves: Address of the first move; see `columns.MOVE_COLUMNS`.
        count: Number of moves.
        lanes: Address of the lanes' numbers.
    """
    return _moved(None)


@intrinsic
def fill_permuted(_typing, to, read, moves, count, lanes):
    """The same, but leaves what is there where the int32 are negative."""
    return _moved(lambda _builder, new, _old: new)


@intrinsic
def max_permuted(_typing, to, read, moves, count, lanes):
    """The same, and leaves what is there where it is larger; NaN if either is."""
    return _moved(_larger)
