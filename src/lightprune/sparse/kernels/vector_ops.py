"""Single steps on vectors in memory, for compiled code: `LANES` float32 values at an address."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from lightprune.sparse.isa.instruction import MAX_SHUFFLES
from lightprune.sparse.isa.register_blocks import LANES, has_cpu_feature
from lightprune.sparse.kernels.microkernel import broadcast

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_I64 = ir.IntType(64)
_LANE_NUMBERS = ir.VectorType(ir.IntType(32), LANES)
_NO_LANES = ir.Constant(_LANE_NUMBERS, [0] * LANES)
# The instruction that permutes lanes as another vector says: elsewhere they are read one by one.
_PERMUTE_INSTRUCTION = next(
    (
        f"llvm.x86.{name}"
        for lanes, feature, name in (
            (16, "avx512f", "avx512.permvar.sf.512"),
            (8, "avx2", "avx2.permps"),
        )
        if lanes == LANES and has_cpu_feature(feature)
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


def _max(builder: ir.IRBuilder, new: ir.Value, old: ir.Value) -> ir.Value:
    """The larger of two; NaN if either is."""
    above = builder.fcmp_ordered(">", new, old)
    unknown = builder.fcmp_unordered("uno", new, new)
    return builder.select(builder.or_(above, unknown), new, old)


def _elementwise(combine: _Combine) -> Any:
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
    return _elementwise(lambda _builder, new, _old: new)


@intrinsic
def add_vector(_typing, to, read):
    """Adds the vector at `read` to the one at `to`."""
    return _elementwise(lambda builder, new, old: builder.fadd(old, new))


@intrinsic
def max_vector(_typing, to, read):
    """Leaves the larger of both at `to`, NaN if either is."""
    return _elementwise(_max)


@intrinsic
def max_of_vectors(_typing, to, read, apart, count):
    """Writes the largest of `count` vectors, `apart` bytes from one to the next; NaN if any is."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        to, read, apart, count = arguments
        found = cgutils.alloca_once_value(builder, _load(builder, read))  # type: ignore[no-untyped-call]
        with cgutils.for_range_slice(builder, _I64(1), count, _I64(1)) as (number, _):
            new = _load(builder, builder.add(read, builder.mul(number, apart)))
            builder.store(_max(builder, new, builder.load(found)), found)
        _store(builder, builder.load(found), to)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 4), generate


@intrinsic
def clamp_vector(_typing, to, least):
    """Raises what lies below `least` to it, but for NaN."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        to, least = arguments
        lowest, value = broadcast(builder, least), _load(builder, to)
        below = builder.fcmp_ordered("<", value, lowest)
        _store(builder, builder.select(below, lowest, value), to)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), generate


@intrinsic
def fill_vector(_typing, to, value):
    """Writes the value to every lane."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        to, value = arguments
        _store(builder, broadcast(builder, value), to)
        return context.get_dummy_value()

    return types.void(types.int64, types.float32), generate


def _permute(
    builder: ir.IRBuilder, read: ir.Value, chosen: ir.Value, otherwise: ir.Value
) -> ir.Value:
    """The vector at `read` with its lanes as the vector says; `otherwise` where that is below 0."""
    there = builder.icmp_signed(">=", chosen, _NO_LANES)
    if _PERMUTE_INSTRUCTION:
        kind = ir.FunctionType(_VECTOR, [_VECTOR, _LANE_NUMBERS])
        permute = cgutils.get_or_insert_function(builder.module, kind, _PERMUTE_INSTRUCTION)
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


def _shuffled(combine: _Combine | None, begun: bool) -> Any:
    """(to, read, channels, count, moves, number): see `shuffle_copy`.

    Args:
        combine: Makes the vector's new value of what is moved there and of what it was; None
            takes what is moved there.
        begun: Whether the vectors begin with what they are, or with 0.
    """

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        to, read, channels, count, moves, number = arguments
        ended = builder.append_basic_block("ended")
        switch = builder.switch(number, ended)
        for moved in range(1, MAX_SHUFFLES + 1):
            case = builder.append_basic_block(f"moves{moved}")
            switch.add_case(_I64(moved), case)
            builder.position_at_end(case)
            # Read before the loop: they stay in registers.
            chosen = []
            for move in range(moved):
                place, lanes = _pair(builder, moves, _I64(move))
                numbers = builder.load(builder.inttoptr(lanes, _LANE_NUMBERS.as_pointer()))
                numbers.align = 4
                chosen.append((place, numbers))
            with cgutils.for_range(builder, count) as loop:
                source, target = _pair(builder, channels, loop.index)
                source, target = builder.add(source, read), builder.add(target, to)
                found = _load(builder, target) if begun else ir.Constant(_VECTOR, [0.0] * LANES)
                for place, numbers in chosen:
                    new = _permute(builder, builder.add(source, place), numbers, found)
                    found = combine(builder, new, found) if combine else new
                _store(builder, found, target)
            builder.branch(ended)
        builder.position_at_end(ended)
        return context.get_dummy_value()

    return types.void(*(types.int64,) * 6), generate


def _pair(builder: ir.IRBuilder, pairs: ir.Value, number: ir.Value) -> tuple[ir.Value, ir.Value]:
    """One of int64 (pairs, 2)."""
    first = builder.inttoptr(builder.add(pairs, builder.mul(number, _I64(16))), _I64.as_pointer())
    return builder.load(first), builder.load(builder.gep(first, [_I64(1)]))


@intrinsic
def shuffle_copy(_typing, to, read, channels, count, moves, number):
    """Fills a vector a channel with others whose lanes are permuted, the other lanes with 0.

    Args:
        to: What the places to write to count from.
        read: What the places to read from count from.
        channels: Address of int64 (channels, 2): the places of each, in bytes.
        count: Number of channels.
        moves: Address of the moves; see `columns.RUN_COLUMNS`.
        number: Number of moves, at most `MAX_SHUFFLES`.
    """
    return _shuffled(None, begun=False)


@intrinsic
def shuffle_fill(_typing, to, read, channels, count, moves, number):
    """The same, but leaves what is there in the other lanes."""
    return _shuffled(None, begun=True)


@intrinsic
def shuffle_max(_typing, to, read, channels, count, moves, number):
    """The same, and leaves what is there where it is larger; NaN if either is."""
    return _shuffled(_max, begun=True)
