"""The paths in a config, made absolute: a job may work elsewhere than its command."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightprune.runs.identity import parent_node

_PATHS = ("data.root", "data.cache_dir", "dense.checkpoint", "dense.cache_dir")


def paths_of(config: Mapping[Any, Any]) -> dict[str, str]:
    """The paths that a config sets, by their keys."""
    nodes = ((key, config[group].get(name)) for key in _PATHS for group, name in [key.split(".")])
    return {key: path for key, path in nodes if path is not None}


def make_paths_absolute(resolved: Mapping[Any, Any], folder: Path) -> None:
    """Makes every path in a config absolute, from `folder` or the user's home (`~`), in place."""
    for key in _PATHS:
        node, name = parent_node(resolved, key)
        # The checks name what is no path; a source of your own may read from an address.
        if isinstance(path := node.get(name), str) and path and "://" not in path:
            node[name] = str(Path(folder, os.path.expanduser(path)))
