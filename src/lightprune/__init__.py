"""Pruning of PyTorch networks: in any Lightning training, as an experiment, and for fast CPUs.

`prune` and `Sparsifier` prune any module, `PruningCallback` in a Lightning training; `summary`
shows what is left of it, `sparse.compile` makes it fast on CPUs. `run` is the whole experiment of
`lightprune train`; `load` and `export_run` take what it leaves.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightprune import sparse
    from lightprune.callbacks import PruningCallback
    from lightprune.errors import InputError
    from lightprune.export.export_network import export_run
    from lightprune.export.load import load
    from lightprune.launch.run import run
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
        prune,
    )
    from lightprune.pruning.cost.cost_table import summary
    from lightprune.structured.semi_structured import semi_structured_

__all__ = [
    "Constant",
    "Cosine",
    "Cubic",
    "Geometric",
    "InputError",
    "Linear",
    "MultiStep",
    "OneShot",
    "Pruner",
    "PruningCallback",
    "Sparsifier",
    "Targets",
    "export_run",
    "load",
    "prune",
    "run",
    "semi_structured_",
    "sparse",
    "summary",
]
_MODULES = {
    "InputError": "lightprune.errors",
    "PruningCallback": "lightprune.callbacks",
    "export_run": "lightprune.export.export_network",
    "load": "lightprune.export.load",
    "run": "lightprune.launch.run",
    "semi_structured_": "lightprune.structured.semi_structured",
    "summary": "lightprune.pruning.cost.cost_table",
}


def __getattr__(name: str) -> Any:
    # Imported at its first use: `import lightprune` loads neither torch nor Lightning.
    if name == "__version__":
        return import_module("importlib.metadata").version("lightprune")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "sparse":
        return import_module("lightprune.sparse")
    return getattr(import_module(_MODULES.get(name, "lightprune.pruning")), name)


def __dir__() -> list[str]:
    # For help() and completion, which look nowhere else.
    return sorted([*globals(), *__all__, "__version__"])
