"""What a criterion that collects evidence has seen of every weight: kept, saved, restored."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from lightprune.pruning.criteria import CollectingCriterion
from lightprune.pruning.masks import Masks


class ScoreAccumulator:
    """One float32 tensor a prunable parameter, on its device, in its layout.

    Attributes:
        values: The tensors by name; zeros before the first step.
    """

    def __init__(self, criterion: CollectingCriterion) -> None:
        """Collects for `criterion`."""
        self.values: dict[str, Tensor] = {}
        self._criterion = criterion

    def place(self, weights: Mapping[str, Tensor]) -> None:
        """Goes where `weights` are, with what there is already."""
        self.values = {
            name: torch.zeros_like(weight, dtype=torch.float32, requires_grad=False).copy_(
                self.values.get(name, torch.zeros(()))
            )
            for name, weight in weights.items()
        }

    @torch.no_grad()
    def collect_(self, weights: Mapping[str, nn.Parameter]) -> None:
        """Adds what the coming step's gradients say, pruned weights' gradients among them."""
        for name, weight in weights.items():
            if weight.grad is not None:
                self._criterion.collect_(self.values[name], weight.detach(), weight.grad)

    def forget_(self, settled: Masks) -> None:
        """Starts anew for the weights that are not `settled`."""
        settled.apply_(self.values)
