"""Regrowth: every event but the first exchanges some kept weights for pruned ones."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.errors import InputError, check_choice, check_number
from lightprune.pruning.criteria import ScoringContext
from lightprune.pruning.criteria.random import uniform
from lightprune.pruning.radix_select import cap_per_layer, k_smallest, prune_group
from lightprune.pruning.scopes import TensorBudget


@dataclass(frozen=True)
class Regrowth:
    """Exchanges a fraction of the kept weights, which falls to 0 as a cosine over the events.

    After an event has pruned to its sparsity, the lowest of the kept weights of each group that
    is ranked together are pruned as well, and as many of all pruned ones come back, those of the
    largest gradients or random ones. Numbers of zeros stay as they are. A weight that is pruned
    and comes back at once keeps its value; the others start from zero.

    With constant sparsity and `pruner.scope=erk` this is RigL (Evci et al. 2020, "Rigging the
    Lottery", section 3), with random growth SET (Mocanu et al. 2018); with a rising sparsity it
    is GraNet (Liu et al. 2021, "Sparse Training via Boosting Pruning Plasticity with
    Neuroregeneration", section 4.2).

    Attributes:
        fraction: Of the kept weights that are exchanged, at the start of the plan.
        grow: What comes back: `gradient`, by the magnitude of the dense gradient, or `random`.
        batches: How many batches of each process the gradient is summed over.
    """

    fraction: float = 0.3
    grow: str = "gradient"
    batches: int = 1

    def __post_init__(self) -> None:
        check_number("pruner.regrowth.fraction", self.fraction, 0, 1, open_low=True)
        check_choice("pruner.regrowth.grow", self.grow, ("gradient", "random"))
        check_number("pruner.regrowth.batches", self.batches, 1, whole=True)

    def fraction_at(self, progress: float) -> float:
        """The fraction at `progress` in [0, 1] through the events."""
        return self.fraction / 2 * (1 + math.cos(math.pi * progress))

    def growth_scores(
        self, weights: Mapping[str, Tensor], context: ScoringContext, progress: float, seed: int
    ) -> dict[str, Tensor]:
        """Scores of all weights, float32: the highest come back first.

        Raises:
            TypeError: They come from gradients, and the context has none.
        """
        if self.grow == "gradient":
            gradients = context.gradient_scores(lambda weight, gradient: gradient, self.batches)
            return {n: gradients[n].abs().nan_to_num_(nan=0.0, posinf=torch.inf) for n in weights}
        # At every event others: a weight that grew in vain would else grow again for ever.
        return {
            name: uniform(weight, "regrowth", seed, name, repr(progress))
            for name, weight in weights.items()
        }

    def exchange(
        self,
        kept: Mapping[str, Tensor],
        scores: Mapping[str, Tensor],
        growth_scores: Mapping[str, Tensor],
        eligible: Mapping[str, Tensor],
        budgets: Sequence[TensorBudget],
        progress: float,
    ) -> dict[str, Tensor]:
        """Exchanges weights of one group, as many as the tensors' minima allow.

        No tensor falls below its minimum even in between, and none grows above its maximum. Of
        the `eligible` weights, those of the lowest scores are pruned, and those of the highest
        growth scores come back. `kept` is within the bounds of the budgets.

        Returns:
            New masks of these tensors, with as many zeros in sum.
        """
        names = [budget.name for budget in budgets]
        before = sum(int(kept[name].count_nonzero()) for name in names)
        size = sum(budget.size for budget in budgets)
        zeros = size - before + round(self.fraction_at(progress) * before)
        masks = prune_group(kept, scores, [eligible], budgets, zeros)
        counts = {name: int(mask.count_nonzero()) for name, mask in masks.items()}
        order = {name: -growth_scores[name] for name in names}
        candidates = {name: eligible[name] & ~masks[name] for name in names}
        room = {budget.name: budget.maximum - counts[budget.name] for budget in budgets}
        candidates, _ = cap_per_layer(order, candidates, room)
        for name, grown in k_smallest(order, candidates, before - sum(counts.values())).items():
            masks[name].logical_or_(grown)
        return masks


def check_regrowth(value: object) -> None:
    """Raises InputError unless `value` is a Regrowth or None."""
    if value is not None and not isinstance(value, Regrowth):
        raise InputError(f"pruner.regrowth={value}: allowed is a Regrowth, or null")
