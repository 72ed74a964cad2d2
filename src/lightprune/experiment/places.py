"""The places in a config, made absolute: a job may work elsewhere than its command."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_PLACES = ("data.root", "data.cache_dir", "dense.checkpoint", "dense.cache_dir")


def make_places_absolute(resolved: Mapping[Any, Any], folder: Path) -> None:
    """Makes every path in a resolved config absolute, with `~` as the user's home, in place.

    Args:
        resolved: The config.
        folder: That relative paths start from.
    """
    for node, name in _places(resolved):
        if isinstance(node.get(name), str) and node[name]:  # The checks name what is no path.
            node[name] = str(Path(folder, os.path.expanduser(node[name])))


def places_of(resolved: Mapping[Any, Any]) -> dict[str, str]:
    """Returns the paths in a config by key; those that are not set are left out."""
    found = zip(_PLACES, _places(resolved), strict=True)
    return {key: node[name] for key, (node, name) in found if isinstance(node.get(name), str)}


def _places(resolved: Mapping[Any, Any]) -> Iterator[tuple[Any, str]]:
    for key in _PLACES:
        group, name = key.split(".")
        node = resolved.get(group)
        yield (node if isinstance(node, dict) else {}), name
