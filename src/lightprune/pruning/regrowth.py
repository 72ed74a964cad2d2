"""Regrowth: at every event some kept weights are exchanged for pruned ones that promise more."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.errors import InputError, check_choice, check_number
from lightprune.pruning.criteria.base import Probe
from lightprune.pruning.masks import Masks
from lightprune.pruning.radix_select import k_smallest
from lightprune.pruning.scopes import TensorBudget
from lightprune.pruning.selection import cap_per_layer, prune_group
from lightprune.rng import named_generator


@dataclass(frozen=True)
class GrowthContext:
    """What a way to grow may look at.

    Attributes:
        weights: By name.
        masks: What was kept before the event.
        probe: Of the network, if there is one.
        progress: Through the plan's events.
        seed: Of random draws.
    """

    weights: Mapping[str, Tensor]
    masks: Masks
    probe: Probe | None
    progress: float
    seed: int


def _gradients(event: GrowthContext, batches: int) -> dict[str, Tensor]:
    if event.probe is None:
        raise TypeError("regrowth by gradient asks the network: prune(..., probe=...)")
    found = event.probe.summed(lambda weight, gradient: gradient, batches, event.masks)
    return {n: found[n].abs().nan_to_num_(nan=0.0, posinf=torch.inf) for n in event.weights}


def _draws(event: GrowthContext, batches: int) -> dict[str, Tensor]:
    drawn = {}
    for name, weight in event.weights.items():
        # At every event others: a weight that grew in vain would else grow again for ever.
        generator = named_generator("regrowth", event.seed, name, repr(event.progress))
        draws = torch.rand(weight.shape, generator=generator, dtype=torch.float32, device="cpu")
        drawn[name] = torch.empty_like(weight, dtype=torch.float32).copy_(draws)
    return drawn


GROWTHS: Mapping[str, Callable[[GrowthContext, int], dict[str, Tensor]]] = {
    "gradient": _gradients,
    "random": _draws,
}


@dataclass(frozen=True)
class Regrowth:
    """Exchanges a share of the kept weights, which falls to 0 as a cosine over the events.

    After an event has pruned what it shall, the lowest of the kept weights of each group that is
    ranked together go as well, and as many of all that are pruned now come back, those of the
    largest gradients or random ones. Numbers of zeros stay as they are. One that goes and comes
    back at once keeps its value; the others start from zero.

    With constant sparsity and `pruner.scope=erk` this is RigL (Evci et al. 2020, "Rigging the
    Lottery", section 3), with random growth SET (Mocanu et al. 2018); with a rising sparsity it
    is GraNet (Liu et al. 2021, "Sparse Training via Boosting Pruning Plasticity with
    Neuroregeneration", section 4.2).

    Attributes:
        fraction: The share of the kept weights, at the beginning.
        grow: What comes back: `gradient`, by the magnitude of the dense gradient, or `random`.
        batches: How many batches of each process the gradient is summed over.
    """

    fraction: float = 0.3
    grow: str = "gradient"
    batches: int = 1

    def __post_init__(self) -> None:
        """Checks every setting."""
        check_number("pruner.regrowth.fraction", self.fraction, 0, 1)
        check_choice("pruner.regrowth.grow", self.grow, GROWTHS)
        check_number("pruner.regrowth.batches", self.batches, 1, whole=True)

    def share(self, progress: float) -> float:
        """The share of the kept weights at `progress` in [0, 1] through the events."""
        return self.fraction / 2 * (1 + math.cos(math.pi * progress))

    def promise(self, event: GrowthContext) -> dict[str, Tensor]:
        """Scores of all weights, float32: the highest come back first.

        Raises:
            TypeError: They come from gradients, and there is no probe.
        """
        return GROWTHS[self.grow](event, self.batches)

    def exchanged(
        self,
        kept: Mapping[str, Tensor],
        scores: Mapping[str, Tensor],
        promise: Mapping[str, Tensor],
        may: Mapping[str, Tensor],
        layers: Sequence[TensorBudget],
        progress: float,
    ) -> dict[str, Tensor]:
        """Exchanges weights of one group, as many as the tensors' minima let go.

        No tensor falls below its minimum even for the moment, and none grows above its maximum.

        Args:
            kept: Bool by name: what the event keeps so far, within the bounds of `layers`.
            scores: float32 by name: the lowest go.
            promise: float32 by name: the highest come back.
            may: Bool by name: the weights that take part.
            layers: The group.
            progress: In [0, 1].

        Returns:
            New masks of these tensors, with as many zeros in sum.
        """
        names = [layer.name for layer in layers]
        before = sum(int(kept[name].count_nonzero()) for name in names)
        size = sum(layer.size for layer in layers)
        zeros = size - before + round(self.share(progress) * before)
        left = prune_group(kept, scores, [may], layers, zeros)
        counts = {name: int(mask.count_nonzero()) for name, mask in left.items()}
        last = {name: -promise[name] for name in names}
        candidates = {name: may[name] & ~left[name] for name in names}
        room = {layer.name: layer.maximum - counts[layer.name] for layer in layers}
        candidates, _ = cap_per_layer(last, candidates, room)
        for name, chosen in k_smallest(last, candidates, before - sum(counts.values())).items():
            left[name].logical_or_(chosen)
        return left


def check_regrowth(value: object) -> None:
    """Raises InputError unless `value` is a Regrowth or None."""
    if value is not None and not isinstance(value, Regrowth):
        raise InputError(f"pruner.regrowth={value}: allowed is a Regrowth, or null")
