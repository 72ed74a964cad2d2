"""How a number of zeros is shared out among tensors: one ranking of all, or a count for each."""

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lightprune.pruning.nm_sparsity import NM

Shape = tuple[int, ...]


@dataclass(frozen=True)
class TensorBudget:
    """A tensor, and how many of its weights may be kept.

    Attributes:
        name: The parameter's name.
        shape: Its shape, `(n_out, n_in, ...)`.
        pruned: How many of its weights are pruned now.
        minimum: How many must be kept; where fewer are left, none of those may be pruned.
        maximum: How many may be kept.
        pattern: What limits the choice of those that are pruned.
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
    def least(self) -> int:
        """How many zeros it gets at least: what is pruned stays pruned."""
        return max(self.size - self.maximum, self.pruned)

    @property
    def most(self) -> int:
        """How many zeros it gets at most."""
        return max(self.size - self.minimum, self.pruned)


@dataclass(frozen=True)
class RankingGroup:
    """Tensors that are ranked together, and how many zeros they shall have in sum."""

    layers: tuple[TensorBudget, ...]
    zeros: int

    @property
    def names(self) -> tuple[str, ...]:
        """Of its tensors."""
        return tuple(layer.name for layer in self.layers)

    @property
    def size(self) -> int:
        """How many weights it has."""
        return sum(layer.size for layer in self.layers)

    @property
    def pruned(self) -> int:
        """How many of them are pruned now."""
        return sum(layer.pruned for layer in self.layers)

    def zeros_at(self, progress: float) -> int:
        """The zeros at `progress` in (0, 1] from what is pruned now to all that shall be.

        In between, equal steps prune equal shares of what is left.
        """
        kept = self.size - self.pruned
        if progress == 1 or not kept:
            return self.zeros
        left = math.pow((self.size - self.zeros) / kept, progress)
        return self.size - round(kept * left)


class Scope(ABC):
    """A way to share zeros out among tensors."""

    def protected(self, shapes: Mapping[str, Shape]) -> dict[str, float]:
        """The shares that this scope keeps of some of all tensors, whatever the sparsity."""
        return {}

    @abstractmethod
    def split(self, group: RankingGroup, sparsity: float) -> list[RankingGroup]:
        """Parts a group, whose zeros fit its layers' bounds, into such as are ranked together.

        Args:
            group: Layers and how many zeros they get.
            sparsity: The share of zeros that was asked for, before it became a whole number.
        """


class Global(Scope):
    """One ranking of all weights: the criterion decides where the zeros go."""

    def split(self, group: RankingGroup, sparsity: float) -> list[RankingGroup]:
        """The group as it is."""
        return [group]


class Local(Scope):
    """Each tensor the same share of zeros; where bounds are in the way, the others make it up."""

    def split(self, group: RankingGroup, sparsity: float) -> list[RankingGroup]:
        """Each tensor on its own: shares as `rate` says, then whole numbers with an exact sum."""
        rates = [self.rate(layer.shape) for layer in group.layers]
        shares = water_fill(group.layers, rates, sparsity)
        counts = round_to_total(group.layers, shares, group.zeros)
        return [RankingGroup((layer,), n) for layer, n in zip(group.layers, counts, strict=True)]

    def rate(self, shape: Shape) -> int:
        """How many weights a tensor keeps in proportion to others, above 0: as many as it has."""
        return max(math.prod(shape), 1)


class UniformPlus(Local):
    """As `Local`, but the first convolution stays dense and a final linear layer keeps a fifth.

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
    layers: Sequence[TensorBudget], rates: Sequence[int], sparsity: float
) -> list[float]:
    """Shares out zeros so that tensors keep weights in proportion to `rates`, within bounds.

    At a level l, a tensor has size - rate + l * rate zeros, or as many as its bounds allow. So
    the sum rises with the level, in straight pieces between the levels at which some tensor
    meets a bound; the right piece holds the answer. Where rates are sizes and no bound is met,
    the level is the sparsity, to the bit.

    Args:
        layers: The tensors.
        rates: Of each, above 0.
        sparsity: The share of zeros in the sum; taken as near as the bounds allow.

    Returns:
        How many zeros each tensor gets; not whole numbers yet.
    """
    total = sum(layer.size for layer in layers)
    pairs = list(zip(layers, rates, strict=True))
    if not total:
        return [0.0] * len(pairs)

    def zeros(level: float) -> list[float]:
        free = ((layer, layer.size - rate + level * rate) for layer, rate in pairs)
        return [min(max(share, layer.least), layer.most) for layer, share in free]

    def reached(level: float) -> float:
        return sum(zeros(level)) / total

    bounds = [(bound, layer, rate) for layer, rate in pairs for bound in (layer.least, layer.most)]
    stops = sorted({(bound - layer.size + rate) / rate for bound, layer, rate in bounds})
    place = bisect_right(stops, sparsity, key=reached)
    if place in (0, len(stops)):
        return zeros(stops[max(place - 1, 0)])
    low, high = stops[place - 1], stops[place]
    start, end = reached(low), reached(high)
    return zeros(low + (high - low) * (sparsity - start) / (end - start))


def round_to_total(
    layers: Sequence[TensorBudget], shares: Sequence[float], total: int
) -> list[int]:
    """Whole numbers of zeros nearest to `shares`, within the layers' bounds, with an exact sum.

    Rounded one by one and then corrected, those nearest to one half first, then by name.
    """
    counts = [
        min(max(round(share), layer.least), layer.most)
        for layer, share in zip(layers, shares, strict=True)
    ]
    while gap := total - sum(counts):
        step = 1 if gap > 0 else -1
        movable = [
            i for i, layer in enumerate(layers) if layer.least <= counts[i] + step <= layer.most
        ]
        nearest = min(movable, key=lambda i: (step * (counts[i] - shares[i]), layers[i].name))
        counts[nearest] += step
    return counts
