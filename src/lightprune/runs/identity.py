"""The identity of a config: its hash, and the differences between two."""

import copy
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

# The result of a run does not depend on these keys: hashes leave them out.
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

# Settings that are real numbers: `0` typed for `0.0` gives the same result.
# fmt: off
REAL_NUMBERS = frozenset({
    "amount", "cap", "color", "cutmix", "drop", "ema_decay", "exponent", "floor",
    "fraction", "gradient_clip_val", "l1", "label_smoothing", "lr", "mean", "milestones",
    "momentum", "peak", "rotation", "span", "sparsities", "sparsity", "std", "step", "temperature",
    "warmup", "weight", "weight_decay", "zoom",
})
# fmt: on

# Of `config_hash`: 0 and 0.0 differ, as they did to earlier versions.
NO_REALS: frozenset[str] = frozenset()

_NO_DISTILLATION = {"_target_": "Distillation", "weight": 0.0, "temperature": 4.0}

# An identity leaves these keys out while they have these values: so does a config that lacks them.
_NEUTRAL_VALUES: dict[str, Any] = {
    "callbacks": {},
    "dense.fresh": [],
    "dense.keep_zeros": False,
    "dense.prefix": None,
    "model.constructor.weights": None,
    "recipe.dense.augmentation.color": 0.0,
    "recipe.dense.augmentation.rotation": 0.0,
    "recipe.dense.augmentation.zoom": 0.0,
    "recipe.dense.distillation": _NO_DISTILLATION,
    "recipe.dense.ema_decay": 0.0,
    "recipe.finetune.augmentation.color": 0.0,
    "recipe.finetune.augmentation.rotation": 0.0,
    "recipe.finetune.augmentation.zoom": 0.0,
    "recipe.finetune.distillation": _NO_DISTILLATION,
    "recipe.finetune.ema_decay": 0.0,
    "recipe.finetune.freeze": [],
    "schedule.every_n_steps": None,
    "trainer.limit_batches": None,
}


# Environment variable: the keys that the jobs of a sweep differ in, as JSON. The jobs may run in
# other processes, on other machines.
SWEPT = "LIGHTPRUNE_SWEPT"


def swept_keys() -> list[str]:
    """The keys that the jobs of this job's sweep differ in; none without a sweep."""
    keys: list[str] = json.loads(os.environ.get(SWEPT, "[]"))
    return keys


def is_result_neutral(key: str) -> bool:
    """Whether the result of a run does not depend on a key."""
    return any(key == c or key.startswith(f"{c}.") for c in RESULT_NEUTRAL)


def identity_of(resolved: dict[Any, Any]) -> dict[str, Any]:
    """A copy of a resolved config without the keys that do not change a result."""
    identity: dict[str, Any] = copy.deepcopy(resolved)
    neutral = _neutral_values(identity)
    for key in (*RESULT_NEUTRAL, *neutral):
        node, name = parent_node(identity, key)
        if key not in neutral or _canonical(node.get(name)) == neutral[key]:
            node.pop(name, None)
    return identity


def _neutral_values(config: dict[Any, Any]) -> dict[str, Any]:
    schedule, target = parent_node(config, "schedule._target_")
    # Other schedules always had a span, of another default.
    of_class = {"schedule.span": 1.0} if _canonical(schedule.get(target)) == "MultiStep" else {}
    return {**_NEUTRAL_VALUES, **of_class}


def _with_neutral_values(config: dict[Any, Any]) -> dict[Any, Any]:
    """A copy with the values of the keys that an identity leaves out."""
    whole = copy.deepcopy(config)
    for key, value in _neutral_values(config).items():
        node, name = parent_node(whole, key)
        node.setdefault(name, copy.deepcopy(value))
    return whole


def parent_node(config: Any, key: str) -> tuple[dict[Any, Any], str]:
    """The node of a nested config that holds a key, or an empty one, and the key's last part."""
    *parents, name = key.split(".")
    for parent in parents:
        config = config.get(parent) if isinstance(config, dict) else None
    return config if isinstance(config, dict) else {}, name


def config_hash(config: Mapping[str, Any], reals: frozenset[str] = REAL_NUMBERS) -> str:
    """SHA-256 of a config as canonical JSON; the same for 0 and 0.0 as values of `reals`."""
    canonical = _canonical(config, reals=reals)
    return hashlib.sha256(json.dumps(canonical, sort_keys=True).encode()).hexdigest()


def _canonical(value: Any, key: str = "", reals: frozenset[str] = REAL_NUMBERS) -> Any:
    """The value of a key: real numbers as such, this package's classes by their bare names."""
    if isinstance(value, Mapping):
        return {name: _canonical(item, name, reals) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item, key, reals) for item in value]
    if isinstance(value, str) and value.startswith("lightprune."):
        return value.rpartition(".")[2]
    # What a float cannot hold is refused later, by the setting's own check.
    is_whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return float(value) if is_whole and key in reals else value


def diff_configs(first: dict[Any, Any], second: dict[Any, Any]) -> list[tuple[str, Any, Any]]:
    """Where two configs differ: `(key, value in first, value in second)`, sorted by key.

    The keys that an identity leaves out have the values with which it does.
    """
    return _differences(_with_neutral_values(first), _with_neutral_values(second), "")


def _differences(first: Any, second: Any, key: str) -> list[tuple[str, Any, Any]]:
    if isinstance(first, dict) and isinstance(second, dict):
        differences = []
        for name in sorted({*first, *second}):
            inner = f"{key}.{name}" if key else str(name)
            differences += _differences(first.get(name), second.get(name), inner)
        return differences
    return [] if _canonical(first) == _canonical(second) else [(key, first, second)]
