"""How kernels are compiled: by Numba, without the GIL, cached on disk until any source changes."""

from collections.abc import Callable
from typing import Any

import numba
from numba.core.ccallback import CFunc

from lightprune.sparse.jit.code_cache import cache_of

_OPTIONS: Any = {"boundscheck": False, "error_model": "numpy"}
# Keeps the code alive whose addresses have been handed out.
_compiled_functions: list[Any] = []


def jit_cached(function: Callable[..., Any]) -> Any:
    """Compiles the function at its first call, or loads what an earlier process compiled."""
    dispatcher: Any = numba.njit(nogil=True, **_OPTIONS)(function)
    dispatcher._cache = cache_of(function)
    return dispatcher


def jit_inline(function: Callable[..., Any]) -> Any:
    """Compiles the function as a part of its caller, for what only one compiled function calls.

    `jit_cached` would compile it by itself first, and once more within the caller.
    """
    return numba.njit(inline="always", **_OPTIONS)(function)


def compile_to_address(function: Callable[..., Any], signature: Any) -> int:
    """Compiles a function, or loads it from disk, and returns the address of its code.

    Callers by address do not have it compiled in. That matters for what takes long to compile:
    Numba would do so again for every caller up the chain.
    """
    code: Any = CFunc(function, (signature.args, signature.return_type), {}, _OPTIONS)
    code._cache = cache_of(function)
    code.compile()
    _compiled_functions.append(code)
    return int(code.address)
