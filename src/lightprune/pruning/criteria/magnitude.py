"""Criterion: the magnitude of a weight."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.errors import check_choice
from lightprune.pruning.criteria.base import Criterion
from lightprune.pruning.criteria.context import ScoringContext


@dataclass(frozen=True)
class Magnitude(Criterion):
    """Scores a weight by its contribution to the norm of its tensor.

    `l1` is |w| (Han et al. 2015, "Learning both Weights and Connections for Efficient Neural
    Networks", section 3), `l2` is w^2. For single weights both give one ranking, up to float32's
    underflow of w^2 below 1e-19, where `l2` has ties.
    """

    norm: str = "l1"

    def __post_init__(self) -> None:
        check_choice("pruner.criterion.norm", self.norm, ("l1", "l2"))

    def scores(self, weights: Mapping[str, Tensor], context: ScoringContext) -> dict[str, Tensor]:
        """|w| or w^2 in float32; a NaN, which no finite score outranks, counts as infinite."""
        return {name: magnitudes(weight, self.norm) for name, weight in weights.items()}


def magnitudes(weight: Tensor, norm: str = "l1") -> Tensor:
    """|w| (`l1`) or w^2 (`l2`) in float32; a NaN counts as infinite."""
    scores = weight.detach().abs().float()
    if norm == "l2":
        scores = scores.square_()
    return scores.nan_to_num_(nan=torch.inf, posinf=torch.inf)
