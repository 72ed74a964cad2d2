"""Saliency of every weight: what a pruner ranks. Higher is kept longer."""

from dataclasses import dataclass
from types import UnionType
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


@runtime_checkable
class CostedCriterion(Protocol):
    """Scores weights by their importance and by what they cost."""

    def saliency_at(self, name: str, weight: Tensor, macs: Tensor) -> Tensor:
        """Scores one parameter.

        Args:
            name: The parameter's name.
            weight: Its values, floating point, any shape, layout and device.
            macs: How often one image has each of them multiply data, on the CPU, in a shape that
                broadcasts to the weight's (`reachability.multiplications`); 0 for dead weights.

        Returns:
            Scores as `Criterion.saliency` returns them.
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
class MagnitudePerMac:
    """Scores a weight by |w| / (its MACs per image) ** exponent: sparsity lands where time goes.

    At exponent 0 this is `Magnitude`, to the bit. At 1/2 it ranks by w^2 per MAC: the greedy
    answer to the knapsack "keep as much of the weights' energy as so many MACs can hold". Between
    them, weights and MACs are both dear: the higher the exponent, the fewer MACs are left at one
    sparsity, and the less energy. Above 1/2 nothing is won: 1/2 at a higher sparsity keeps more
    energy in as few MACs. Measured on a trained ResNet18 at 32x32, the MACs left in percent at
    90 / 95 / 98 / 99 % sparsity: 49 / 36 / 20 / 13 at exponent 0, 41 / 26 / 13 / 7 at 1/4,
    27 / 14 / 5 / 2 at 1/2, 10 / 4 / 1.5 / 0.7 at 1. From 3/4 on, at 98 % and more, the stem, which
    no path bypasses, is emptied or nearly so.

    A weight that only ever meets padding costs nothing and changes nothing: at any exponent above
    0 it goes before every other, where a division by 0 would keep it for ever.

    Sources: weighing saliency against FLOPs is Molchanov et al. 2017, "Pruning Convolutional
    Neural Networks for Resource Efficient Inference", eq. 9 (of whole neurons, as a difference);
    the knapsack over single weights, w^2 under a budget of FLOPs, is Meng et al. 2024, "FALCON:
    FLOP-Aware Combinatorial Optimization for Neural Network Pruning". The exponent is neither's.

    Attributes:
        exponent: Of the MACs, in [0, 2].
    """

    exponent: float = 0.5

    def __post_init__(self) -> None:
        """Checks the exponent."""
        check_number("pruner.criterion.exponent", self.exponent, 0, 2)

    def saliency_at(self, name: str, weight: Tensor, macs: Tensor) -> Tensor:
        """|w| / macs ** exponent in float32; at an exponent above 0, -inf for dead weights."""
        scores = Magnitude().saliency(name, weight)
        if self.exponent == 0:
            return scores
        # In float64 and rounded once: every machine divides by the same number.
        costs = macs.clamp(min=1).double().pow(self.exponent).float()
        scores /= costs.to(scores.device)
        return scores.masked_fill_((macs == 0).to(scores.device), -torch.inf)


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
        criterion: The other one; none that asks what a weight costs.
    """

    criterion: Criterion

    def __post_init__(self) -> None:
        """Checks the other criterion."""
        check_criterion("pruner.criterion.criterion", self.criterion, Criterion)

    def saliency(self, name: str, weight: Tensor) -> Tensor:
        """The other's scores, negated."""
        return -self.criterion.saliency(name, weight)


def check_criterion(
    name: str, value: object, kinds: UnionType | type = Criterion | CostedCriterion
) -> None:
    """Raises InputError unless `value` is a criterion of one of these kinds."""
    if not isinstance(value, kinds) or isinstance(value, type):
        words = "" if isinstance(kinds, UnionType) else " that does not ask what a weight costs"
        raise InputError(f"{name}={value}: allowed is a criterion{words}")
