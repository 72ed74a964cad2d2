"""Scopes divide a number of zeros among tensors: one ranking of all, or a count for each."""

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lightprune.pruning.nm_sparsity import NM

Shape = tuple[int, ...]


@dataclass(frozen=True)
class TensorBudget:
    """A tensor `(n_out, n_in, ...)`, and how many of its weights are pruned and may be kept.

    Attributes:
        pruned: How many of its weights are pruned now.
        minimum: How many must be kept; where fewer are kept already, none of those may be pruned.
        maximum: How many may be kept.
        pattern: Limits which of its weights may be pruned.
    """

    name: str
    shape: Shape
    pruned: int
    minimum: int
    maximum: int
    pattern: NM | None = None

    @property
    def size(self) -> int:
        """How many weights it has."""
        return math.prod(self.shape)

    @property
    def min_zeros(self) -> int:
        """Its fewest zeros: what is pruned stays pruned."""
        return max(self.size - self.maximum, self.pruned)

    @property
    def max_zeros(self) -> int:
        """Its most zeros."""
        return max(self.size - self.minimum, self.pruned)


@dataclass(frozen=True)
class RankingGroup:
    """Tensors that are ranked together, and how many zeros they get in sum."""

    budgets: tuple[TensorBudget, ...]
    zeros: int

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its tensors."""
        return tuple(budget.name for budget in self.budgets)

    @property
    def size(self) -> int:
        """How many weights it has."""
        return sum(budget.size for budget in self.budgets)

    @property
    def pruned(self) -> int:
        """How many of them are pruned now."""
        return sum(budget.pruned for budget in self.budgets)

    def zeros_at(self, progress: float) -> int:
        """The zeros at `progress` in (0, 1] from `pruned` to `zeros`.

        In between, equal steps prune equal shares of the weights that are still kept.
        """
        kept = self.size - self.pruned
        if progress == 1 or not kept:
            return self.zeros
        share = math.pow((self.size - self.zeros) / kept, progress)
        return self.size - round(kept * share)


class Scope(ABC):
    """Divides zeros among tensors."""

    def protected(self, shapes: Mapping[str, Shape]) -> dict[str, float]:
        """The shares of some tensors, by name, that are kept whatever the sparsity."""
        return {}

    @abstractmethod
    def split(self, group: RankingGroup, sparsity: float) -> list[RankingGroup]:
        """Splits a group into groups that are ranked together; its tensors' bounds allow its zeros.

        `sparsity` is the share of zeros before it was rounded to a whole number of weights.
        """


class Global(Scope):
    """One ranking of all weights: the criterion decides where the zeros go."""

    def split(self, group: RankingGroup, sparsity: float) -> list[RankingGroup]:
        """The group as it is."""
        return [group]


class Local(Scope):
    """Each tensor gets the same share of zeros; where its bounds forbid it, others make it up."""

    def split(self, group: RankingGroup, sparsity: float) -> list[RankingGroup]:
        """A group for each tensor: shares by `rate`, then whole numbers with an exact sum."""
        rates = [self.rate(budget.shape) for budget in group.budgets]
        shares = water_fill(group.budgets, rates, sparsity)
        counts = round_to_total(group.budgets, shares, group.zeros)
        return [RankingGroup((budget,), n) for budget, n in zip(group.budgets, counts, strict=True)]

    def rate(self, shape: Shape) -> int:
        """What the number of kept weights of a tensor is proportional to, above 0: its size."""
        return max(math.prod(shape), 1)


class UniformPlus(Local):
    """As `Local`, but the first convolution stays dense and a final linear layer keeps a fifth.

    First and last of the weights that are pruned: those of excluded layers do not count.

    Source: Gale et al. 2019, "The State of Sparsity in Deep Neural Networks", on ResNet-50: the
    first convolution is not pruned, the final layer to 80 % at most; the name is that of Lee et
    al. 2021, "Layer-adaptive Sparsity for the Magnitude-based Pruning".
    """

    def protected(self, shapes: Mapping[str, Shape]) -> dict[str, float]:
        """All of the first tensor with a kernel, 0.2 of the last tensor if it has none."""
        shares = {name: 0.2 for name, shape in [*shapes.items()][-1:] if len(shape) == 2}
        kernels = [name for name, shape in shapes.items() if len(shape) > 2]
        return {**shares, **dict.fromkeys(kernels[:1], 1.0)}


class ErdosRenyiKernel(Local):
    """Densities in proportion to (n_out + n_in + kh + kw) / (n_out n_in kh kw), at most 1.

    So every tensor keeps a number of weights in proportion to the sum of its extents: small
    layers and small kernels stay denser. A linear layer's extents are n_out and n_in.

    Source: Evci et al. 2020, "Rigging the Lottery: Making All Tickets Winners", section 3 (1).
    """

    def rate(self, shape: Shape) -> int:
        """The sum of its extents."""
        return max(sum(shape), 1)


SCOPES: dict[str, Scope] = {
    "global": Global(),
    "local": Local(),
    "uniform_plus": UniformPlus(),
    "erk": ErdosRenyiKernel(),
}


def water_fill(
    budgets: Sequence[TensorBudget], rates: Sequence[int], sparsity: float
) -> list[float]:
    """Divides zeros so that tensors keep weights in proportion to `rates`, within bounds.

    At a level l, a tensor has size - rate + l * rate zeros, or as many as its bounds allow. So
    the sum is piecewise linear in the level, with a knot where a tensor meets a bound; it is
    interpolated between two knots. Where rates are sizes and no bound is met,
    the level is the sparsity, to the bit. It is taken as near as the bounds allow.

    Returns:
        How many zeros each tensor gets, not rounded.
    """
    total = sum(budget.size for budget in budgets)
    pairs = list(zip(budgets, rates, strict=True))
    if not total:
        return [0.0] * len(pairs)

    def zeros(level: float) -> list[float]:
        free = ((budget, budget.size - rate + level * rate) for budget, rate in pairs)
        return [min(max(share, budget.min_zeros), budget.max_zeros) for budget, share in free]

    def reached(level: float) -> float:
        return sum(zeros(level)) / total

    knots = sorted(
        {
            (bound - budget.size + rate) / rate
            for budget, rate in pairs
            for bound in (budget.min_zeros, budget.max_zeros)
        }
    )
    index = bisect_right(knots, sparsity, key=reached)
    if index in (0, len(knots)):
        return zeros(knots[max(index - 1, 0)])
    low, high = knots[index - 1], knots[index]
    start, end = reached(low), reached(high)
    return zeros(low + (high - low) * (sparsity - start) / (end - start))


def round_to_total(
    budgets: Sequence[TensorBudget], shares: Sequence[float], total: int
) -> list[int]:
    """Whole numbers of zeros nearest to `shares`, within the tensors' bounds, with an exact sum.

    Rounded one by one and then corrected, those nearest to one half first, then by name.
    """
    counts = [
        min(max(round(share), budget.min_zeros), budget.max_zeros)
        for budget, share in zip(budgets, shares, strict=True)
    ]
    while gap := total - sum(counts):
        step = 1 if gap > 0 else -1
        movable = [
            i
            for i, budget in enumerate(budgets)
            if budget.min_zeros <= counts[i] + step <= budget.max_zeros
        ]
        nearest = min(movable, key=lambda i: (step * (counts[i] - shares[i]), budgets[i].name))
        counts[nearest] += step
    return counts
