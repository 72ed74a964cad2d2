"""Criterion: the reverse of another one."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from lightprune.errors import InputError
from lightprune.pruning.criteria.base import Criterion, check_criterion
from lightprune.pruning.criteria.context import ScoringContext


@dataclass(frozen=True)
class Inverted(Criterion):
    """Negates the scores of another criterion: what that would keep longest is pruned first.

    A sanity check: a criterion that is worth something loses to its own reverse (Frankle et al.
    2021, "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?", section 5).
    The other must be one that needs nothing but the weights.
    """

    criterion: Criterion

    def __post_init__(self) -> None:
        check_criterion("pruner.criterion.criterion", self.criterion)
        if self.criterion.needs:
            raise InputError(
                f"pruner.criterion.criterion={self.criterion}: allowed is a criterion that needs "
                "nothing but the weights"
            )

    def scores(self, weights: Mapping[str, Tensor], context: ScoringContext) -> dict[str, Tensor]:
        """The other's scores, negated."""
        return {name: -scores for name, scores in self.criterion.scores(weights, context).items()}
