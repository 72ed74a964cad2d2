"""What masks in a checkpoint belong to: the pruner, the plan and the network, told in words."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass

from torch import Tensor

from lightprune.errors import InputError
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.schedules import Plan

Fingerprint = dict[str, dict[str, str]]


def fingerprint_of(pruner: Pruner | None, plan: Plan, weights: Mapping[str, Tensor]) -> Fingerprint:
    """Describes a pruner, a plan and prunable weights, each place by place."""
    events = {f"event {i}": repr(event) for i, event in enumerate(plan.events)}
    return {
        "pruner": _described(pruner),
        "plan": {"epochs": str(plan.epochs), **events},
        "network": {name: str(tuple(weight.shape)) for name, weight in weights.items()},
    }


def check_compatible(theirs: Fingerprint, mine: Fingerprint) -> None:
    """Raises InputError unless a checkpoint belongs to this run; names the first difference."""
    for name, here in mine.items():
        there = theirs[name]
        if name == "pruner" and there:
            there = _as_described_now(there)
        for place in [*here, *there]:
            if there.get(place) != here.get(place):
                raise InputError(
                    f"checkpoint: its {name} is {place}={there.get(place)}, this run's is "
                    f"{place}={here.get(place)}; allowed is a checkpoint of the same "
                    "experiment (force=true starts afresh)"
                )


def _as_described_now(pruner: Mapping[str, str]) -> dict[str, str]:
    """An older description: settings that came later have their defaults, classes no module."""
    kind, opened, own = pruner["criterion"].partition("(")
    named = f"{kind.rpartition('.')[2]}{opened}{own}"
    return {**_described(Pruner()), **pruner, "criterion": named}


def _described(pruner: Pruner | None) -> dict[str, str]:
    """A pruner's settings, without the addresses that a plain object's repr shows."""
    if pruner is None:
        return {}
    settings = {field.name: str(getattr(pruner, field.name)) for field in fields(pruner)}
    kind = type(pruner.criterion)
    own = getattr(pruner.criterion, "__dict__", {})
    if is_dataclass(pruner.criterion):
        own = {f.name: getattr(pruner.criterion, f.name) for f in fields(pruner.criterion)}
    return {**settings, "criterion": f"{kind.__qualname__}({own})"}
