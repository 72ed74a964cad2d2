"""Intrinsics on vectors in memory: `LANES` float32 values at an address."""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from lightprune.sparse.isa.register_blocks import LANES, has_cpu_feature
from lightprune.sparse.isa.tables import MAX_SHUFFLES
from lightprune.sparse.jit.atomics import code_of
from lightprune.sparse.kernels.microkernel import broadcast, raise_to

_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_I64 = ir.IntType(64)
_INDICES = ir.VectorType(ir.IntType(32), LANES)
_ZEROS = ir.Constant(_INDICES, [0] * LANES)
# The instruction that permutes lanes by a vector of indices; without one they are loaded singly.
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
    """The maximum of two; NaN if either is."""
    above = builder.fcmp_ordered(">", new, old)
    unknown = builder.fcmp_unordered("uno", new, new)
    return builder.select(builder.or_(above, unknown), new, old)


def _elementwise(combine: _Combine) -> Any:
    """(to, read): the vector at `to` becomes `combine(vector at read, vector at to)`."""

    def emit(builder, to, read):
        new = combine(builder, _load(builder, read), _load(builder, to))
        _store(builder, new, to)

    return code_of(types.void(types.int64, types.int64), emit)


@intrinsic
def copy_vector(_typing, to, read):
    """Copies a vector."""
    return _elementwise(lambda _builder, new, _old: new)


@intrinsic
def add_vector(_typing, to, read):
    """Adds the vector at `read` to the one at `to`."""
    return _elementwise(lambda builder, new, old: builder.fadd(old, new))


@intrinsic
def multiply_vector(_typing, to, read):
    """Multiplies the vector at `to` by the one at `read`."""
    return _elementwise(lambda builder, new, old: builder.fmul(old, new))


@intrinsic
def max_vector(_typing, to, read):
    """Writes the maximum of both to `to`; NaN if either is."""
    return _elementwise(_max)


@intrinsic
def max_of_vectors(_typing, to, read, stride, count):
    """Writes the maximum of `count` vectors, `stride` bytes apart; NaN if any is."""

    def emit(builder, to, read, stride, count):
        maximum = cgutils.alloca_once_value(builder, _load(builder, read))  # type: ignore[no-untyped-call]
        with cgutils.for_range_slice(builder, _I64(1), count, _I64(1)) as (number, _):
            new = _load(builder, builder.add(read, builder.mul(number, stride)))
            builder.store(_max(builder, new, builder.load(maximum)), maximum)
        _store(builder, builder.load(maximum), to)

    return code_of(types.void(*(types.int64,) * 4), emit)


@intrinsic
def clamp_vector(_typing, to, minimum):
    """Raises what lies below `minimum` to it; NaN stays."""

    def emit(builder, to, minimum):
        value = raise_to(builder, _load(builder, to), broadcast(builder, minimum))
        _store(builder, value, to)

    return code_of(types.void(types.int64, types.float32), emit)


@intrinsic
def fill_vector(_typing, to, value):
    """Writes the value to every lane."""

    def emit(builder, to, value):
        _store(builder, broadcast(builder, value), to)

    return code_of(types.void(types.int64, types.float32), emit)


@intrinsic
def transpose_block(_typing, to, to_stride, read, read_stride):
    """Transposes `LANES` vectors that lie `read_stride` bytes apart into ones `to_stride` apart."""

    def emit(builder, to, to_stride, read, read_stride):
        rows = [
            _load(builder, builder.add(read, builder.mul(read_stride, _I64(number))))
            for number in range(LANES)
        ]
        # Each round swaps squares off the diagonal, of half the size of the round before.
        half = LANES // 2
        while half:
            low = [n if not n & half else n - half + LANES for n in range(LANES)]
            high = [n + half if not n & half else n + LANES for n in range(LANES)]
            masks = [ir.Constant(_INDICES, lanes) for lanes in (low, high)]
            for number in range(LANES):
                if not number & half:
                    pair = rows[number], rows[number + half]
                    rows[number], rows[number + half] = (
                        builder.shuffle_vector(*pair, mask) for mask in masks
                    )
            half //= 2
        for number, row in enumerate(rows):
            _store(builder, row, builder.add(to, builder.mul(to_stride, _I64(number))))

    return code_of(types.void(*(types.int64,) * 4), emit)


def _permute(
    builder: ir.IRBuilder, read: ir.Value, indices: ir.Value, otherwise: ir.Value
) -> ir.Value:
    """The lanes of the vector at `read` by index; those of `otherwise` where it is negative."""
    valid = builder.icmp_signed(">=", indices, _ZEROS)
    if _PERMUTE_INSTRUCTION:
        kind = ir.FunctionType(_VECTOR, [_VECTOR, _INDICES])
        permute = cgutils.get_or_insert_function(builder.module, kind, _PERMUTE_INSTRUCTION)
        permuted = builder.call(permute, [_load(builder, read), indices])
    else:
        permuted = ir.Constant(_VECTOR, ir.Undefined)
        safe = builder.select(valid, indices, _ZEROS)
        for lane in map(ir.IntType(32), range(LANES)):
            index = builder.sext(builder.extract_element(safe, lane), _I64)
            address = builder.add(read, builder.mul(index, _I64(4)))
            value = builder.load(builder.inttoptr(address, ir.FloatType().as_pointer()))
            permuted = builder.insert_element(permuted, value, lane)
    return builder.select(valid, permuted, otherwise)


def _shuffled(combine: _Combine | None, keep: bool) -> Any:
    """(to, read, offsets, channels, shuffles, count): see `shuffle_copy`.

    `combine` makes a vector's new value from what is shuffled in and what it was, None takes what
    is shuffled in; vectors start from what they hold if `keep`, else from 0.
    """

    def emit(builder, to, read, offsets, channels, shuffles, count):
        ended = builder.append_basic_block("ended")
        switch = builder.switch(count, ended)
        for constant_count in range(1, MAX_SHUFFLES + 1):
            case = builder.append_basic_block(f"shuffles{constant_count}")
            switch.add_case(_I64(constant_count), case)
            builder.position_at_end(case)
            # Loaded before the loop: they stay in registers.
            loaded = []
            for number in range(constant_count):
                offset, lanes = _load_pair(builder, shuffles, _I64(number))
                indices = builder.load(builder.inttoptr(lanes, _INDICES.as_pointer()))
                indices.align = 4
                loaded.append((offset, indices))
            with cgutils.for_range(builder, channels) as loop:
                source, target = _load_pair(builder, offsets, loop.index)
                source, target = builder.add(source, read), builder.add(target, to)
                value = _load(builder, target) if keep else ir.Constant(_VECTOR, [0.0] * LANES)
                for offset, indices in loaded:
                    new = _permute(builder, builder.add(source, offset), indices, value)
                    value = combine(builder, new, value) if combine else new
                _store(builder, value, target)
            builder.branch(ended)
        builder.position_at_end(ended)

    return code_of(types.void(*(types.int64,) * 6), emit)


def _load_pair(builder: ir.IRBuilder, pairs: ir.Value, row: ir.Value) -> tuple[ir.Value, ir.Value]:
    first = builder.inttoptr(builder.add(pairs, builder.mul(row, _I64(16))), _I64.as_pointer())
    return builder.load(first), builder.load(builder.gep(first, [_I64(1)]))


@intrinsic
def shuffle_copy(_typing, to, read, offsets, channels, shuffles, count):
    """Fills one vector a channel with the permuted lanes of others, the other lanes with 0.

    The channels' read and write offsets count from the addresses `read` and `to`; they, and the
    `count` shuffles, are as of `CopyRun`.
    """
    return _shuffled(None, keep=False)


@intrinsic
def shuffle_fill(_typing, to, read, offsets, channels, shuffles, count):
    """Like `shuffle_copy`, but the other lanes keep their values."""
    return _shuffled(None, keep=True)


@intrinsic
def shuffle_max(_typing, to, read, offsets, channels, shuffles, count):
    """Like `shuffle_fill`, but takes the maximum of old and new; NaN if either is."""
    return _shuffled(_max, keep=True)
