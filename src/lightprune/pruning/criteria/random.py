"""Criterion: random scores, the baseline."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.errors import check_number
from lightprune.pruning.criteria.base import Criterion
from lightprune.pruning.criteria.context import ScoringContext
from lightprune.rng import named_generator


@dataclass(frozen=True)
class Random(Criterion):
    """Scores every weight by a draw that depends on the seed, its name and its index alone.

    The baseline of every pruning paper. Equal on every rank, device and layout, and equal at
    every event of a run, so an iterative schedule prunes the same weights as a one-shot one.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        check_number("pruner.criterion.seed", self.seed, 0, 2**31 - 1, whole=True)

    def scores(self, weights: Mapping[str, Tensor], context: ScoringContext) -> dict[str, Tensor]:
        """Uniform draws in [0, 1)."""
        return {
            name: uniform(weight, "saliency", self.seed, name) for name, weight in weights.items()
        }


def uniform(like: Tensor, *stream: int | str) -> Tensor:
    """Draws float32 from [0, 1) by a named stream, on the device and in the layout of `like`."""
    draws = torch.rand(
        like.shape, generator=named_generator(*stream), dtype=torch.float32, device="cpu"
    )
    return torch.empty_like(like, dtype=torch.float32).copy_(draws)
