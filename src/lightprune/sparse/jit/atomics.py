"""Atomic operations, spin-wait hints and calls by address, for compiled code."""

import os
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_I64 = ir.IntType(64)
_ORDERING = "seq_cst"
_IS_X86 = "x86_64" in binding.get_default_triple()


def _pointer(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return builder.inttoptr(address, _I64.as_pointer())


@intrinsic
def as_pointer(_typing, address):
    """The int64 address as a pointer that `numba.carray` takes."""

    def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


@intrinsic
def fetch_add(_typing, address, amount):
    """Adds to the int64 at the address; returns what it was."""

    def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        return builder.atomic_rmw("add", _pointer(builder, arguments[0]), arguments[1], _ORDERING)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def atomic_load(_typing, address):
    """The int64 at the address."""

    def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(_pointer(builder, arguments[0]), _ORDERING, 8)

    return types.int64(types.int64), generate


@intrinsic
def atomic_store(_typing, address, value):
    """Stores the int64 at the address; earlier writes become visible before it."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[1], _pointer(builder, arguments[0]), _ORDERING, 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def compare_exchange(_typing, address, expected, value):
    """Stores the value if the int64 at the address is the expected one; returns whether it was."""

    def generate(_context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        address, expected, value = arguments
        result = builder.cmpxchg(_pointer(builder, address), expected, value, _ORDERING, _ORDERING)
        return builder.extract_value(result, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


@intrinsic
def cpu_pause(_typing):
    """Tells the processor that this thread spins."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, _arguments: Any) -> Any:
        if _IS_X86:
            kind = ir.FunctionType(ir.VoidType(), [])
            builder.call(
                cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), []
            )
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def yield_thread(_typing):
    """Lets the operating system run another thread on this core."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, _arguments: Any) -> Any:
        if os.name == "posix":
            kind = ir.FunctionType(ir.IntType(32), [])
            builder.call(cgutils.get_or_insert_function(builder.module, kind, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate


def _call(count: int) -> Any:
    """A call of the code at an address with `count` int64 arguments."""

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [_I64] * count)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*(types.int64,) * (1 + count)), generate


@intrinsic
def call_conv_kernel(
    _typing, code, instruction, first, last, arena, private_arena, images_per_vector
):
    """Calls `kernels.convolution.conv_kernel()`."""
    return _call(6)


@intrinsic
def call_interpreter(
    _typing,
    code,
    instruction,
    first,
    last,
    arena,
    private_arena,
    images_per_vector,
    source,
    target,
    count,
):
    """Calls `kernels.dispatch.interpreter()`."""
    return _call(9)
