"""Pruning experiments on CIFAR-10: dense training, pruning on a schedule, fine-tuning, test."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightprune.sparse.load import load

__all__ = ["load"]


def __getattr__(name: str) -> Any:
    """Imports `load` when it is first asked for: the package itself stays light."""
    if name != "load":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from lightprune.sparse.load import load

    return load
