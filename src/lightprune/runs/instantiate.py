"""The parts of a run's config as objects: of its own accord nothing but this package's classes."""

import importlib
from collections.abc import Mapping
from dataclasses import is_dataclass
from typing import Any

from lightprune.errors import InputError, first_line

# A run folder may come from anywhere, and these packages only define things.
_HOMES = ("lightprune.pruning", "lightprune.data", "lightprune.training")


def instantiate_safely(node: Mapping[str, Any], kind: type[Any], key: str) -> Any:
    """The object that a node of a config describes.

    Args:
        node: The class by its `_target_`, and its settings; nodes may lie in nodes.
        kind: What it must be.
        key: The node's name in the config.

    Raises:
        InputError: It names something else than a data class of these packages, or one
            that refuses the settings.
    """
    try:
        made = _made(dict(node))
    except InputError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        reason = first_line(error)
        raise InputError(f"{key}: cannot be built ({reason}); allowed is what a run has") from error
    if not isinstance(made, kind):
        raise InputError(f"{key}={node}: makes no {kind.__name__}; allowed is what a run has")
    return made


def own_class(target: object) -> type | None:
    """The data class of that dotted name, if it is one of the core's, of data or of training."""
    home, _, name = str(target).rpartition(".")
    if home not in _HOMES:
        return None
    package = importlib.import_module(home)
    found = getattr(package, name, None) if name in package.__all__ else None
    return found if isinstance(found, type) and is_dataclass(found) else None


def _made(value: Any) -> Any:
    if isinstance(value, list):
        return [_made(item) for item in value]
    if not isinstance(value, dict):
        return value
    settings = {name: _made(item) for name, item in value.items() if name != "_target_"}
    if "_target_" not in value:
        return settings
    kind = own_class(value["_target_"])
    if kind is None:
        raise InputError(
            f"{value['_target_']}: is not built because a file says so; allowed are the data "
            f"classes of {', '.join(_HOMES)}"
        )
    return kind(**settings)
