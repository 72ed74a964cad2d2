"""Criterion: chance."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.errors import check_number
from lightprune.rng import named_generator


@dataclass(frozen=True)
class Random:
    """Scores every weight by a draw that depends on the seed, its name and its position alone.

    The baseline of every pruning paper. Equal on every rank, device and layout, and equal at
    every event of a run, so an iterative schedule prunes the same weights as a one-shot one.
    """

    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the seed."""
        check_number("pruner.criterion.seed", self.seed, 0, 2**31 - 1, whole=True)

    def saliency(self, name: str, weight: Tensor) -> Tensor:
        """Uniform draws in [0, 1)."""
        generator = named_generator("saliency", self.seed, name)
        draws = torch.rand(weight.shape, generator=generator, dtype=torch.float32, device="cpu")
        return torch.empty_like(weight, dtype=torch.float32).copy_(draws)
