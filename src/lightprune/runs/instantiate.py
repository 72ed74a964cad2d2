"""Objects from the config of a run's record: of this package's data classes, nothing else."""

import importlib
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from torch import nn

from lightprune.errors import InputError, first_line
from lightprune.models.freezing import freeze_
from lightprune.pruning.targets import Targets
from lightprune.runs.record import RunRecord

# A run folder may come from anywhere, and these packages only define things.
_PACKAGES = ("lightprune.pruning", "lightprune.data")


def instantiate_safely(node: Mapping[str, Any], kind: type[Any], key: str) -> Any:
    """Builds the object of the config node at `key` without importing what a file names.

    A node is a class by its `_target_`, and its settings, which may be nodes. `kind` is the type
    that the object must have.

    Raises:
        InputError: The class is no data class of lightprune's, or refuses the settings.
    """
    try:
        built = _build(dict(node))
    except InputError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        reason = first_line(error)
        raise InputError(f"{key}: cannot be built ({reason}); allowed is what a run has") from error
    if not isinstance(built, kind):
        raise InputError(f"{key}={node}: makes no {kind.__name__}; allowed is what a run has")
    return built


def package_class(target: object) -> type | None:
    """The data class of that dotted name, if it is defined in `_PACKAGES`; otherwise None."""
    module, _, name = str(target).rpartition(".")
    inside = tuple(f"{package}." for package in _PACKAGES)
    if not f"{module}.".startswith(inside):
        return None
    try:
        cls = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError:
        return None
    # A module also holds what it has imported.
    is_ours = isinstance(cls, type) and is_dataclass(cls) and cls.__module__.startswith(inside)
    return cls if is_ours else None


def _build(value: Any) -> Any:
    if isinstance(value, list):
        return [_build(item) for item in value]
    if not isinstance(value, dict):
        return value
    settings = {name: _build(item) for name, item in value.items() if name != "_target_"}
    if "_target_" not in value:
        return settings
    cls = package_class(value["_target_"])
    if cls is None:
        raise InputError(
            f"{value['_target_']}: is not built because a file says so; allowed are the data "
            f"classes of {', '.join(_PACKAGES)}"
        )
    return cls(**settings)


def prunable_weights(record: RunRecord, network: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that a run could prune, by name; the default if its record does not say.

    `network` is as the run built one; what the run froze is frozen.

    Raises:
        InputError: The record holds something else there.
    """
    finetune = (record.config.get("recipe") or {}).get("finetune") or {}
    freeze_(network, finetune.get("freeze") or ())
    node = (record.config.get("pruner") or {}).get("targets")
    targets = Targets()
    if node is not None:
        targets = instantiate_safely(node, Targets, "pruner.targets")
    return targets.find(network)
