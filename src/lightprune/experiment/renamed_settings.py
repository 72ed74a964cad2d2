"""Renamed config keys and options: an old name is answered by the new one."""

from collections.abc import Mapping
from typing import Any

from lightprune.runs.identity import parent_node

# Old key -> new key.
RENAMED_KEYS = {"pruner.dead_weights": "pruner.unreachable"}
# Group -> old option -> new option; a name that ends in _ stands for all that begin so.
_RENAMED_OPTIONS = {
    "recipe": {"study": "reference"},
    "experiment": {
        "study_first_": "reference_unreachable_first_",
        "study_": "reference_",
        "lab_": "method_",
    },
}


def renamed_option(group: str, option: str) -> str | None:
    """Returns the new name of an option, or None if it has not been renamed."""
    for old, new in _RENAMED_OPTIONS.get(group, {}).items():
        if option == old or (old.endswith("_") and option.startswith(old)):
            return new + option.removeprefix(old)
    return None


def find_renamed_key(config: Mapping[Any, Any]) -> str | None:
    """Returns the first old key that a config holds, or None."""
    for key in RENAMED_KEYS:
        node, name = parent_node(config, key)
        if name in node:
            return key
    return None
