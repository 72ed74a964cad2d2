"""How the runtime's functions are compiled: without the GIL, and kept on disk for the next time."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import FunctionCache, IndexDataCacheFile
from numba.core.ccallback import CFunc

_PACKAGE = Path(__file__).parents[1]
_STAMP = sha256(b"".join(file.read_bytes() for file in sorted(_PACKAGE.rglob("*.py")))).hexdigest()


class _PackageCache(FunctionCache):
    """Forgets a function when any file of the compiler or its runtime has changed.

    Numba looks at the function's own file only, and would go on using code that has others'
    functions compiled into it as they were.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._cache_file = IndexDataCacheFile(  # type: ignore[no-untyped-call]
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=_STAMP,
        )


_OPTIONS: Any = {"boundscheck": False, "error_model": "numpy"}


def jit_cached(function: Callable[..., Any]) -> Any:
    """Compiles at the first call, or takes what an earlier process compiled."""
    dispatcher: Any = numba.njit(nogil=True, **_OPTIONS)(function)
    dispatcher._cache = _PackageCache(function)
    return dispatcher


def jit_inline(function: Callable[..., Any]) -> Any:
    """Is compiled as a part of what calls it, for what only one compiled function calls.

    On its own, it would be compiled before that, and once more within it.
    """
    return numba.njit(inline="always", **_OPTIONS)(function)


def compile_to_address(function: Callable[..., Any], signature: Any) -> int:
    """Compiles a function, or takes it from disk, and returns the address of its code.

    What calls it by its address does not have it compiled in. That matters for what takes long to
    compile: Numba would do so again for every function on the way.
    """
    code: Any = CFunc(function, (signature.args, signature.return_type), {}, _OPTIONS)
    code._cache = _PackageCache(function)
    code.compile()
    _compiled_functions.append(code)
    return int(code.address)


_compiled_functions: list[Any] = []
