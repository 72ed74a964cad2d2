"""Criterion: how large a weight is."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.errors import check_choice


@dataclass(frozen=True)
class Magnitude:
    """Scores a weight by its contribution to the norm of its tensor.

    `l1` is |w| (Han et al. 2015; the criterion of the study), `l2` is w^2. For single weights
    both give one ranking, up to float32's underflow of w^2 below 1e-19, where `l2` has ties.
    """

    norm: str = "l1"

    def __post_init__(self) -> None:
        """Checks the norm."""
        check_choice("pruner.criterion.norm", self.norm, ("l1", "l2"))

    def saliency(self, name: str, weight: Tensor) -> Tensor:
        """|w| or w^2 in float32; a NaN, which no finite score outranks, counts as infinite."""
        scores = weight.detach().abs().float()
        if self.norm == "l2":
            scores = scores.square_()
        return scores.nan_to_num_(nan=torch.inf, posinf=torch.inf)
