"""Criterion: the reverse of another one."""

from dataclasses import dataclass

from torch import Tensor

from lightprune.pruning.criteria.base import Criterion, check_criterion


@dataclass(frozen=True)
class Inverted:
    """Scores by another criterion, upside down: what it would keep longest goes first.

    A sanity check: a criterion that is worth something loses to its own reverse (Frankle et al.
    2021, "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?", section 5).

    Attributes:
        criterion: The other one; one that asks for nothing but the weights.
    """

    criterion: Criterion

    def __post_init__(self) -> None:
        """Checks the other criterion."""
        check_criterion("pruner.criterion.criterion", self.criterion, Criterion)

    def saliency(self, name: str, weight: Tensor) -> Tensor:
        """The other's scores, negated."""
        return -self.criterion.saliency(name, weight)
