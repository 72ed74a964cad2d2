"""The identity of a config: folder name, hash, and the differences between two."""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# The result of a run does not depend on these keys: folder names and hashes leave them out.
RESULT_NEUTRAL = (
    "data.cache_dir",
    "data.download",
    "data.root",
    "dense.checkpoint",
    "dense.cache_dir",
    "force",
    "hydra",
    "logger",
    "name",
    "plan_only",
    "trainer.progress",
    "trainer.threads",
)


def run_name(name: str | None, overrides: Sequence[str]) -> str:
    """A folder name: `name`, or the sorted overrides that change the result.

    Group choices and values keep their letters, everything a path could trip over becomes `_`;
    a name too long for a file system ends in a hash instead.
    """
    if name:
        return name
    parts = [override.lstrip("+~").partition("=") for override in overrides]
    checkpoint = [
        f"{key}={Path(value).name}" for key, _, value in parts if key == "dense.checkpoint"
    ]
    others = [
        override
        for override, (key, _, _) in zip(overrides, parts, strict=True)
        if not _is_result_neutral(key)
    ]
    text = ",".join(sorted(others + checkpoint)) or "default"
    clean = "".join(c if c.isalnum() or c in "=.,-+" else "_" for c in text)
    if len(clean) <= 200:
        return clean
    return f"{clean[:180]}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _is_result_neutral(key: str) -> bool:
    return any(key == c or key.startswith(f"{c}.") for c in RESULT_NEUTRAL)


def identity_of(resolved: dict[Any, Any]) -> dict[str, Any]:
    """A copy of a resolved config without the keys that do not change a result."""
    identity: dict[str, Any] = copy.deepcopy(resolved)
    for key in RESULT_NEUTRAL:
        *parents, last = key.split(".")
        node: Any = identity
        for parent in parents:
            node = node.get(parent) or {}
        node.pop(last, None)
    return identity


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 of a config as canonical JSON; equal wherever the package keeps its classes."""
    return hashlib.sha256(json.dumps(_canonical(config), sort_keys=True).encode()).hexdigest()


def _canonical(value: Any) -> Any:
    """The value with the bare names of this package's classes and functions."""
    if isinstance(value, Mapping):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    if isinstance(value, str) and value.startswith("lightprune."):
        return value.rpartition(".")[2]
    return value


def diff_configs(first: Any, second: Any, key: str = "") -> list[tuple[str, Any, Any]]:
    """Where two configs differ: `(key, value in first, value in second)`, sorted by key."""
    if isinstance(first, dict) and isinstance(second, dict):
        differences = []
        for name in sorted({*first, *second}):
            inner = f"{key}.{name}" if key else str(name)
            differences += diff_configs(first.get(name), second.get(name), inner)
        return differences
    return [] if _canonical(first) == _canonical(second) else [(key, first, second)]
