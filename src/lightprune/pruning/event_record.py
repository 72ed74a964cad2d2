"""What a prune event did: the record that run folders and checkpoints keep."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from lightprune.pruning.masks import Masks
from lightprune.pruning.schedules import PruneEvent


class PruningError(RuntimeError):
    """Pruning left a state that must not go on: a dead network, a moved zero, differing ranks."""


@dataclass(frozen=True)
class EventRecord:
    """What a prune event did.

    Attributes:
        epoch: Before whose first step it happened.
        target: The sparsity that was asked for.
        sparsity: The sparsity that was reached.
        pruned: Number of zeros among the prunable weights.
        live_sparsity: The share of zeros among the weights that some input reaches.
        distance: ||W - W_pruned|| / ||W|| over the live prunable weights.
        before: Validation accuracy before it.
        after: Validation accuracy right after it.
        recovered: Validation accuracy after the last epoch trained since.
        emptied: Parameters of which nothing is left.
        digest: Of the masks.
        recalibrated: Validation accuracy once batch norms were estimated anew after it; None
            where they were left as they were.
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
        """Describes an event by the masks it ended with and the measurements around it."""
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
        """Reads `dump`'s mapping back, or that of an earlier version, which told less."""
        return cls(**{**state, "emptied": tuple(state["emptied"])})

    def dump(self) -> dict[str, Any]:
        """A mapping of plain types, for checkpoints and JSON."""
        return {**asdict(self), "emptied": list(self.emptied)}


@torch.no_grad()
def distance(weights: Mapping[str, Tensor], masks: Masks, live: Masks) -> float:
    """How far pruning moves the live weights: ||W - W_pruned|| / ||W||."""
    removed = whole = 0.0
    for name, weight in weights.items():
        squares = weight.float().square() * live[name]
        whole += float(squares.sum())
        removed += float((squares * ~masks[name]).sum())
    return math.sqrt(removed / whole) if whole else 0.0
