"""The sparse runtime: a pruned network as a small program, executed fast on the CPU."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightprune.sparse.runtime.compiled_module import CompiledModule, compile
    from lightprune.sparse.runtime.network import SparseNetwork

__all__ = ["CompiledModule", "SparseNetwork", "compile"]
_MODULES = {
    "CompiledModule": "lightprune.sparse.runtime.compiled_module",
    "SparseNetwork": "lightprune.sparse.runtime.network",
    "compile": "lightprune.sparse.runtime.compiled_module",
}


def __getattr__(name: str) -> Any:
    # Imported at its first use: the compiler takes a second to load.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
