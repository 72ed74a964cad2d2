"""Criterion: where a weight is going, rather than where it is."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Movement:
    """Scores a weight by -(g w), summed over the steps of fine-tuning.

    Positive where training pushed a weight away from zero, negative where towards it. There is
    none before the first step, so the first event must come later (`schedule.start`), and late
    enough for the sums to rise above the noise of single batches.

    Source: Sanh et al. 2020, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", section 4,
    without the learning rate, and with hard masks: a pruned weight's evidence stands still.
    Rewinding changes weights and keeps the evidence.
    """

    def collect_(self, evidence: Tensor, weight: Tensor, gradient: Tensor) -> None:
        """Subtracts g w."""
        evidence.addcmul_(gradient.detach().float(), weight.detach().float(), value=-1)

    def saliency_of(self, name: str, weight: Tensor, evidence: Tensor) -> Tensor:
        """The evidence; a NaN, which no finite score outranks, counts as infinite."""
        return evidence.nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)
