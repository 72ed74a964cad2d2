"""What a prune event did: the record that run folders and checkpoints keep."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import torch
from torch import Tensor

from lightprune.errors import InputError
from lightprune.pruning.masks import Masks
from lightprune.pruning.plan import PruneEvent


class PruningError(RuntimeError):
    """Pruning failed: the output is constant, a pruned weight not zero, or ranks differ."""


@dataclass(frozen=True, kw_only=True)
class PruneRecord:
    """What a prune event did.

    Attributes:
        epoch: The epoch before whose first step it happened.
        target: The sparsity in the plan.
        sparsity: The sparsity of the masks.
        pruned: Number of zeros among the prunable weights.
        live_sparsity: The share of zeros among the weights that some input can reach; None where
            the size of the inputs is unknown.
        before: The metric before the event; None where it is unknown.
        recovered: The metric after the last validation since.
        emptied: Parameters whose every weight is pruned.
        digest: Of the masks.
        step: The optimizer step before which it happened; None for the first of its epoch.
    """

    epoch: int
    target: float
    sparsity: float
    pruned: int
    live_sparsity: float | None
    before: float | None
    recovered: float | None
    emptied: tuple[str, ...]
    digest: str
    step: int | None = None

    @property
    def position(self) -> int:
        """As of `PruneEvent`."""
        return self.epoch if self.step is None else self.step

    @classmethod
    def of(
        cls, event: PruneEvent, masks: Masks, live: Masks | None, **measured: float | None
    ) -> Self:
        """The record of an event, of the `masks` after it.

        `live` are the weights that some input can reach, None where that is unknown; `measured` is
        what was measured around it, by attribute.
        """
        return cls(
            epoch=event.epoch,
            target=event.sparsity,
            sparsity=masks.sparsity,
            pruned=masks.pruned,
            live_sparsity=None if live is None else live_sparsity_of(masks, live),
            recovered=None,
            emptied=masks.emptied(),
            digest=masks.digest(),
            step=event.step,
            **measured,
        )

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Self:
        """Reads `dump`'s mapping back; InputError if it has other keys."""
        differing = (state.keys() ^ {field.name for field in fields(cls)}) - {"step"}
        if differing:
            raise InputError(
                f"record of a prune event: unknown or missing {', '.join(sorted(differing))}; "
                "allowed is a record of this version of lightprune"
            )
        return cls(**{**state, "emptied": tuple(state["emptied"])})

    def dump(self) -> dict[str, Any]:
        """A mapping of plain types, for checkpoints and JSON; without the step if there is none."""
        state = {**asdict(self), "emptied": list(self.emptied)}
        return {name: value for name, value in state.items() if name != "step" or value is not None}


@dataclass(frozen=True, kw_only=True)
class EventRecord(PruneRecord):
    """What a prune event of an experiment did, with validation accuracies, 0..1, as metric.

    Without validation images they are None.

    Attributes:
        distance: ||W - W_pruned|| / ||W|| over the prunable weights that some input can reach.
        after: Right after it.
        recalibrated: Once batch norms were estimated anew after it; None where they were not.
    """

    live_sparsity: float
    distance: float
    after: float | None
    recalibrated: float | None = None


def live_sparsity_of(masks: Masks, live: Masks) -> float:
    """The share of zeros among the weights that some input can reach."""
    overlap = sum(int((mask & live[name]).count_nonzero()) for name, mask in masks.items())
    return 1 - overlap / live.kept if live.kept else 0.0


def pruned_share(records: Sequence[EventRecord], given: float = 0.0) -> float:
    """Of the live weights that were kept until the last of some events, the share that it pruned.

    `given` is the live sparsity before the first of them.
    """
    before, after = [given, *(record.live_sparsity for record in records)][-2:]
    return (after - before) / (1 - before) if before < 1 else 0.0


@torch.no_grad()
def distance(weights: Mapping[str, Tensor], masks: Masks, live: Masks) -> float:
    """The relative change of the live weights by pruning: ||W - W_pruned|| / ||W||."""
    removed = whole = 0.0
    for name, weight in weights.items():
        squares = weight.float().square() * live[name]
        whole += float(squares.sum())
        removed += float((squares * ~masks[name]).sum())
    return math.sqrt(removed / whole) if whole else 0.0
