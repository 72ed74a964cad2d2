"""Pruning of PyTorch networks: in any Lightning training, as an experiment, and for fast CPUs."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightprune import sparse
    from lightprune.callbacks import PruningCallback
    from lightprune.export.load import load
    from lightprune.pruning import (
        Constant,
        Cosine,
        Cubic,
        Geometric,
        Linear,
        MultiStep,
        OneShot,
        Pruner,
        Sparsifier,
        Targets,
    )
    from lightprune.structured.semi_structured import semi_structured_

__all__ = [
    "Constant",
    "Cosine",
    "Cubic",
    "Geometric",
    "Linear",
    "MultiStep",
    "OneShot",
    "Pruner",
    "PruningCallback",
    "Sparsifier",
    "Targets",
    "load",
    "semi_structured_",
    "sparse",
]
_MODULES = {
    "PruningCallback": "lightprune.callbacks",
    "load": "lightprune.export.load",
    "semi_structured_": "lightprune.structured.semi_structured",
}


def __getattr__(name: str) -> Any:
    # Imported at its first use: `import lightprune` loads neither torch nor Lightning.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "sparse":
        return import_module("lightprune.sparse")
    return getattr(import_module(_MODULES.get(name, "lightprune.pruning")), name)
