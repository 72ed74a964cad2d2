"""Criteria: the change of the loss without a weight, to first order (Taylor, SNIP)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.errors import check_number
from lightprune.pruning.criteria.base import Criterion
from lightprune.pruning.criteria.context import ScoringContext
from lightprune.pruning.criteria.magnitude import magnitudes


@dataclass(frozen=True)
class _GradientCriterion(Criterion):
    needs = ("gradient_scores",)
    batches: int = 1
    rounds: int = 1

    def __post_init__(self) -> None:
        check_number("pruner.criterion.batches", self.batches, 1, whole=True)
        check_number("pruner.criterion.rounds", self.rounds, 1, whole=True)


@dataclass(frozen=True)
class Taylor(_GradientCriterion):
    """Scores a weight of a trained network by |g w|, summed over batches: each counts.

    g w is what a batch's loss loses to first order when w goes. Near a minimum the mean of g
    over the data is about 0 and says nothing; its size from batch to batch does.

    Source: Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", eq. 8, for
    single weights. They average (g w)^2; for one batch that ranks as |g w| does.

    Attributes:
        batches: How many training batches each process takes; the share of a batch that a process
            has counts as a batch, so that masks depend a little on how many there are.
        rounds: As of `Criterion`.
    """

    batches: int = 10

    def scores(self, weights: Mapping[str, Tensor], context: ScoringContext) -> dict[str, Tensor]:
        """The sums of |g w| in float32; a NaN counts as infinite."""
        sums = context.gradient_scores(lambda w, g: (w * g).abs_(), self.batches)
        return {name: magnitudes(sums[name]) for name in weights}


@dataclass(frozen=True)
class Snip(_GradientCriterion):
    """Scores a weight by |g w| with the gradient of all batches together: their signs may cancel.

    The connection sensitivity: how fast the loss changes as the connection fades. It is meant
    for a network at initialisation, and one batch of it; of a trained network, ask `Taylor`.
    With many rounds it is iterative SNIP (de Jorge et al. 2021, "Progressive Skeletonization").

    Source: Lee et al. 2019, "SNIP: Single-shot Network Pruning based on Connection Sensitivity",
    eq. 6, whose normalisation changes no ranking.

    Attributes:
        batches: How many training batches each process takes; together they act as one.
        rounds: As of `Criterion`.
    """

    def scores(self, weights: Mapping[str, Tensor], context: ScoringContext) -> dict[str, Tensor]:
        """The magnitudes of the sums of g w in float32; a NaN counts as infinite."""
        sums = context.gradient_scores(torch.mul, self.batches)
        return {name: magnitudes(sums[name]) for name in weights}
