"""What a prune event did: the record that run folders and checkpoints keep."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor

from lightprune.errors import InputError
from lightprune.pruning.masks import Masks
from lightprune.pruning.schedules import PruneEvent


class PruningError(RuntimeError):
    """Pruning failed: the output is constant, a pruned weight not zero, or ranks differ."""


@dataclass(frozen=True)
class EventRecord:
    """What a prune event did.

    Attributes:
        epoch: The epoch before whose first step it happened.
        target: The sparsity in the plan.
        sparsity: The sparsity of the masks.
        pruned: Number of zeros among the prunable weights.
        live_sparsity: The share of zeros among the weights that some input can reach.
        distance: ||W - W_pruned|| / ||W|| over the prunable weights that some input can reach.
        before: Validation accuracy before it, 0..1.
        after: Validation accuracy right after it.
        recovered: Validation accuracy after the last epoch trained since.
        emptied: Parameters whose every weight is pruned.
        digest: Of the masks.
        recalibrated: Validation accuracy once batch norms were estimated anew after it; None
            where they were not.
    """

    epoch: int
    target: float
    sparsity: float
    pruned: int
    live_sparsity: float
    distance: float
    before: float
    after: float
    recovered: float | None
    emptied: tuple[str, ...]
    digest: str
    recalibrated: float | None = None

    @classmethod
    def of(
        cls,
        event: PruneEvent,
        masks: Masks,
        live: Masks,
        *,
        distance: float,
        before: float,
        after: float,
        recalibrated: float | None = None,
    ) -> "EventRecord":
        """The record of an event, from the masks after it and what was measured around it."""
        overlap = sum(int((mask & live[name]).count_nonzero()) for name, mask in masks.items())
        return cls(
            epoch=event.epoch,
            target=event.sparsity,
            sparsity=masks.sparsity,
            pruned=masks.pruned,
            live_sparsity=1 - overlap / live.kept if live.kept else 0.0,
            distance=distance,
            before=before,
            after=after,
            recovered=None,
            emptied=masks.emptied(),
            digest=masks.digest(),
            recalibrated=recalibrated,
        )

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> "EventRecord":
        """Reads `dump`'s mapping back.

        Raises:
            InputError: It has other keys.
        """
        differing = state.keys() ^ {field.name for field in fields(cls)}
        if differing:
            raise InputError(
                f"record of a prune event: unknown or missing {', '.join(sorted(differing))}; "
                "allowed is a record of this version of lightprune"
            )
        return cls(**{**state, "emptied": tuple(state["emptied"])})

    def dump(self) -> dict[str, Any]:
        """A mapping of plain types, for checkpoints and JSON."""
        return {**asdict(self), "emptied": list(self.emptied)}


@torch.no_grad()
def distance(weights: Mapping[str, Tensor], masks: Masks, live: Masks) -> float:
    """The relative change of the live weights by pruning: ||W - W_pruned|| / ||W||."""
    removed = whole = 0.0
    for name, weight in weights.items():
        squares = weight.float().square() * live[name]
        whole += float(squares.sum())
        removed += float((squares * ~masks[name]).sum())
    return math.sqrt(removed / whole) if whole else 0.0
