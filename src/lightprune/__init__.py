"""Pruning experiments on CIFAR-10: dense training, pruning on a schedule, fine-tuning, test."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightprune.export.load import load
    from lightprune.structured.semi_structured import semi_structured_

__all__ = ["load", "semi_structured_"]


_HOMES = {
    "load": "lightprune.export.load",
    "semi_structured_": "lightprune.structured.semi_structured",
}


def __getattr__(name: str) -> Any:
    """Imports a function when it is first asked for: the package itself stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
