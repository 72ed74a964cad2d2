"""Criterion: movement of a weight away from zero during fine-tuning."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.pruning.criteria.base import Criterion
from lightprune.pruning.criteria.context import ScoringContext


@dataclass(frozen=True)
class Movement(Criterion):
    """Scores a weight by -(g w), summed over the steps of fine-tuning.

    Positive where training pushed a weight away from zero, negative where towards it. There is
    none before the first step, so the first event must come later (`schedule.start`), and late
    enough for the sums to rise above the noise of single batches.

    Source: Sanh et al. 2020, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", section 4,
    without the learning rate, and with hard masks: the sum of a pruned weight stands still.
    Rewinding changes weights and keeps the sums.
    """

    needs = ("accumulated",)

    def update_(self, state: Tensor, weight: Tensor, gradient: Tensor) -> None:
        """Subtracts g w."""
        state.addcmul_(gradient.detach().float(), weight.detach().float(), value=-1)

    def scores(self, weights: Mapping[str, Tensor], context: ScoringContext) -> dict[str, Tensor]:
        """The sums; a NaN, which no finite score outranks, counts as infinite."""
        sums = context.accumulated
        return {
            name: sums[name].nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
            for name in weights
        }
