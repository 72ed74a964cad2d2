"""Fingerprint of pruner and plan: a checkpoint of others is refused by name."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from lightprune.errors import InputError
from lightprune.pruning.plan import Plan
from lightprune.pruning.pruner import Pruner

Fingerprint = dict[str, dict[str, str]]


def fingerprint_of(pruner: Pruner, plan: Plan) -> Fingerprint:
    """What masks in a checkpoint depend on: by "pruner" and "plan", settings as text by name."""
    events = {f"event {i}": repr(event) for i, event in enumerate(plan.events)}
    return {
        "pruner": _settings_of(pruner),
        "plan": {
            "epochs": str(plan.epochs),
            "steps": str(plan.steps),
            "drop": str(plan.drop),
            **events,
        },
    }


def check_version(state: Mapping[str, Any]) -> None:
    """Raises InputError unless a callback of this version has saved a state, or none."""
    if state and not {"fingerprint", "shapes", "events_done"} <= state.keys():
        raise InputError(
            "checkpoint: its masks were saved by another version of lightprune; allowed is a "
            "checkpoint of this one"
        )


def check_compatible(saved: Fingerprint, current: Fingerprint) -> None:
    """Raises InputError unless a checkpoint's fingerprint is this run's; names the difference."""
    for part, settings in current.items():
        for name in [*settings, *saved[part]]:
            if saved[part].get(name) != settings.get(name):
                raise InputError(
                    f"checkpoint: its {part} is {name}={saved[part].get(name)}, this run's is "
                    f"{name}={settings.get(name)}; allowed is a checkpoint of the same {part}"
                )


def _settings_of(pruner: Pruner) -> dict[str, str]:
    # A criterion by its attributes: the repr of a plain object is an address.
    settings = {field.name: str(getattr(pruner, field.name)) for field in fields(pruner)}
    criterion = pruner.criterion
    attributes = getattr(criterion, "__dict__", {})
    if is_dataclass(criterion):
        attributes = {field.name: getattr(criterion, field.name) for field in fields(criterion)}
    return {**settings, "criterion": f"{type(criterion).__qualname__}({attributes})"}
