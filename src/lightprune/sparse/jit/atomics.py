"""Atomic operations, spin-wait hints and calls by address, for compiled code."""

import os
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.extending import intrinsic

_I64 = ir.IntType(64)
_ORDERING = "seq_cst"
_IS_X86 = "x86_64" in binding.get_default_triple()


def code_of(signature: Any, emit: Callable[..., ir.Value | None]) -> Any:
    """What an `@intrinsic` returns: `emit` takes the IR builder and the argument values.

    It returns the value of the call; what it returns is ignored if the signature returns void.
    """

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, arguments: Any) -> Any:
        result = emit(builder, *arguments)
        return context.get_dummy_value() if signature.return_type == types.void else result

    return signature, generate


def _pointer(builder: ir.IRBuilder, address: ir.Value) -> ir.Value:
    return builder.inttoptr(address, _I64.as_pointer())


@intrinsic
def as_pointer(_typing, address):
    """The int64 address as a pointer that `numba.carray` takes."""
    return code_of(types.voidptr(types.int64), lambda b, at: b.inttoptr(at, cgutils.voidptr_t))


@intrinsic
def fetch_add(_typing, address, amount):
    """Adds to the int64 at the address; returns what it was."""
    return code_of(
        types.int64(types.int64, types.int64),
        lambda b, at, more: b.atomic_rmw("add", _pointer(b, at), more, _ORDERING),
    )


@intrinsic
def atomic_load(_typing, address):
    """The int64 at the address."""
    return code_of(
        types.int64(types.int64), lambda b, at: b.load_atomic(_pointer(b, at), _ORDERING, 8)
    )


@intrinsic
def atomic_store(_typing, address, value):
    """Stores the int64 at the address; earlier writes become visible before it."""
    return code_of(
        types.void(types.int64, types.int64),
        lambda b, at, new: b.store_atomic(new, _pointer(b, at), _ORDERING, 8),
    )


@intrinsic
def compare_exchange(_typing, address, expected, value):
    """Stores the value if the int64 at the address is the expected one; returns whether it was."""

    def emit(b, at, old, new):
        result = b.cmpxchg(_pointer(b, at), old, new, _ORDERING, _ORDERING)
        return b.extract_value(result, 1)

    return code_of(types.boolean(types.int64, types.int64, types.int64), emit)


@intrinsic
def cpu_pause(_typing):
    """Tells the processor that this thread spins."""

    def emit(builder):
        if _IS_X86:
            _call_extern(builder, ir.VoidType(), "llvm.x86.sse2.pause")

    return code_of(types.void(), emit)


@intrinsic
def yield_thread(_typing):
    """Lets the operating system run another thread on this core."""

    def emit(builder):
        if os.name == "posix":
            _call_extern(builder, ir.IntType(32), "sched_yield")

    return code_of(types.void(), emit)


def _call_extern(builder: ir.IRBuilder, returns: ir.Type, name: str) -> None:
    kind = ir.FunctionType(returns, [])
    builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [])


def _call(count: int) -> Any:
    def emit(builder, code, *arguments):
        kind = ir.FunctionType(ir.VoidType(), [_I64] * count)
        builder.call(builder.inttoptr(code, kind.as_pointer()), arguments)

    return code_of(types.void(*(types.int64,) * (1 + count)), emit)


@intrinsic
def call_conv_kernel(_typing, code, instruction, first, last, arena, private_arena):
    """Calls `kernels.convolution.conv_kernel()`."""
    return _call(5)


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
