"""Saliency of every weight: what a pruner ranks. Higher is kept longer."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from lightprune.errors import InputError, check_choice, check_number
from lightprune.randomness import named_generator


@runtime_checkable
class Criterion(Protocol):
    """Scores weights by their importance."""

    def saliency(self, name: str, weight: Tensor) -> Tensor:
        """Scores one parameter.

        Args:
            name: The parameter's name.
            weight: Its values, floating point, any shape, layout and device.

        Returns:
            float32 scores of the same shape on the same device, none NaN; higher is kept longer.
        """
        ...


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


@dataclass(frozen=True)
class Inverted:
    """Scores by another criterion, upside down: what it would keep longest goes first.

    A sanity check: a criterion that is worth something loses to its own reverse (Frankle et al.
    2021, "Pruning Neural Networks at Initialization: Why Are We Missing the Mark?", section 5).

    Attributes:
        criterion: The other one.
    """

    criterion: Criterion

    def __post_init__(self) -> None:
        """Checks the other criterion."""
        check_criterion("pruner.criterion.criterion", self.criterion)

    def saliency(self, name: str, weight: Tensor) -> Tensor:
        """The other's scores, negated."""
        return -self.criterion.saliency(name, weight)


def check_criterion(name: str, value: object) -> None:
    """Raises InputError unless `value` is a criterion."""
    if not isinstance(value, Criterion) or isinstance(value, type):
        raise InputError(f"{name}={value}: allowed is a criterion")
