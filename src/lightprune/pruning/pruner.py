"""From weights and a target sparsity to the next masks: criterion, scope, overrides, floors."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightprune.errors import InputError, check_choice, check_number
from lightprune.pruning.criteria import (
    CostedCriterion,
    Criterion,
    Magnitude,
    Random,
    check_criterion,
)
from lightprune.pruning.masks import Masks
from lightprune.pruning.ranking import lowest
from lightprune.pruning.targets import check_pattern, matches


@dataclass(frozen=True)
class Pruner:
    """Prunes the least salient weights, to an exact count; what is pruned stays pruned.

    Attributes:
        criterion: Scores every weight.
        scope: `global` ranks all weights together; `local` gives each tensor the same share.
        sparsities: `(pattern, sparsity)` pairs: a tensor whose name matches gets this share at
            the last event (and the same fraction of it as the others of theirs at earlier ones)
            and takes no part in the common ranking. The first matching pattern counts.
        floor: The share of each tensor that is never pruned; the rest is made up elsewhere.
        dead_weights: `rank` treats weights that no input reaches like any other (the study);
            `first` prunes them before any live weight, which changes no output.
        weights: What becomes of the others: `keep` them; or, to see what the choice of weights
            and their values are worth, `shuffle` which of each tensor are pruned, or
            `reinitialise` them all at the last event (Frankle et al. 2021, section 5).
        seed: Of the shuffle.
    """

    criterion: Criterion | CostedCriterion = field(default_factory=Magnitude)
    scope: str = "global"
    sparsities: tuple[tuple[str, float], ...] = ()
    floor: float = 0.0
    dead_weights: str = "rank"
    weights: str = "keep"
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks every setting."""
        check_criterion("pruner.criterion", self.criterion)
        check_choice("pruner.scope", self.scope, ("global", "local"))
        check_choice("pruner.dead_weights", self.dead_weights, ("rank", "first"))
        check_choice("pruner.weights", self.weights, ("keep", "shuffle", "reinitialise"))
        check_number("pruner.seed", self.seed, 0, 2**31 - 1, whole=True)
        check_number("pruner.floor", self.floor, 0, 1, open_high=True)
        pairs = []
        whole = isinstance(self.sparsities, list | tuple)
        for pair in self.sparsities if whole else [self.sparsities]:
            if not (isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)):
                raise InputError(
                    f"pruner.sparsities={pair}: allowed is a list of [pattern, sparsity] pairs"
                )
            check_number(f"pruner.sparsities[{pair[0]}]", pair[1], 0, 1)
            pairs.append((pair[0], float(pair[1])))
        object.__setattr__(self, "sparsities", tuple(pairs))

    @torch.no_grad()
    def prune(
        self,
        weights: Mapping[str, Tensor],
        masks: Masks,
        sparsity: float,
        *,
        final: float | None = None,
        macs: Mapping[str, Tensor] | None = None,
    ) -> Masks:
        """Prunes to `sparsity`, the absolute share of zeros among all `weights`.

        Args:
            weights: Floating-point tensors by name, any layout and device.
            masks: What is kept now.
            sparsity: In [0, 1). `round(sparsity * total)` weights are pruned afterwards, unless
                `sparsities` says otherwise for some tensors, or more are pruned already.
            final: The sparsity of the plan's last event, to which `sparsities` refer; by
                default this event is the last.
            macs: How often one image has each weight multiply data, by name and in a shape that
                broadcasts to the weight's (`reachability.multiplications`); 0 is a dead weight.
                Used by `dead_weights="first"`, and by criteria that ask what a weight costs.

        Returns:
            The next masks, on the devices and in the layouts of `weights`.

        Raises:
            InputError: The floors leave fewer weights to prune than asked.
            TypeError: The criterion asks for costs, and there are no `macs`.
        """
        kept = dict(masks.like(weights))
        quotas = self.quotas(weights, sparsity, final=final, masks=masks)
        for names, zeros in quotas:
            scores = {n: self._scores(n, weights[n], macs) for n in names}
            budgets = {n: self._budget(kept[n]) for n in names}
            tiers = self._tiers({n: kept[n] for n in names}, macs)
            drop = zeros - sum(kept[n].numel() - int(kept[n].count_nonzero()) for n in names)
            for tier in tiers:
                candidates = _within_budget(scores, tier, budgets) if self.floor else tier
                here = min(drop, sum(int(c.count_nonzero()) for c in candidates.values()))
                for name, chosen in lowest(scores, candidates, here).items():
                    budgets[name] -= int(chosen.count_nonzero())
                    kept[name].logical_and_(chosen.logical_not_())
                drop -= here
        return (
            self._shuffled(kept, masks.like(weights)) if self.weights == "shuffle" else Masks(kept)
        )

    def quotas(
        self,
        weights: Mapping[str, Tensor],
        sparsity: float,
        *,
        final: float | None = None,
        masks: Masks | None = None,
    ) -> list[tuple[tuple[str, ...], int]]:
        """How many zeros each group of jointly ranked tensors gets: `[(names, zeros), ...]`.

        Local counts are rounded tensor by tensor and then corrected, those nearest to one half
        first, so that their sum is the rounded total.

        Raises:
            InputError: A pattern matches nothing, or a floor is in the way.
        """
        for pattern, _ in self.sparsities:
            check_pattern("pruner.sparsities", pattern, dict(weights))
        sizes = {name: weight.numel() for name, weight in weights.items()}
        already = {
            name: sizes[name] - int(masks[name].count_nonzero()) if masks is not None else 0
            for name in sizes
        }
        most = {n: max(size - self._minimum(size), already[n]) for n, size in sizes.items()}
        progress = sparsity / final if final else 1.0
        groups: list[tuple[tuple[str, ...], int]] = []
        common = []
        for name, size in sizes.items():
            share = self._override(name)
            if share is None:
                common.append(name)
            else:
                groups.append(((name,), max(round(share * progress * size), already[name])))
        zeros = round(sparsity * sum(sizes[n] for n in common))
        groups.append((tuple(common), max(zeros, sum(already[n] for n in common))))
        for names, asked in groups:
            room = sum(most[n] for n in names)
            if asked > room:
                raise InputError(
                    f"pruner.floor={self.floor}: keeps {sum(sizes[n] for n in names) - room} of "
                    f"the weights of {names[0]}{' and others' if len(names) > 1 else ''}, of which "
                    f"{asked} shall be pruned; allowed is a floor that leaves room for the sparsity"
                )
        if self.scope == "local":
            *groups, (names, zeros) = groups
            shares = {name: sparsity * sizes[name] for name in names}
            groups += [
                ((n,), count) for n, count in _apportion(shares, zeros, already, most).items()
            ]
        return [(names, zeros) for names, zeros in groups if names]

    def _shuffled(self, kept: Mapping[str, Tensor], before: Masks) -> Masks:
        """Prunes as many weights of each tensor as `kept` does, drawn among those kept before."""
        shuffled = {}
        for name, mask in kept.items():
            draws = Random(self.seed).saliency(name, mask.float())
            drop = int(before[name].count_nonzero()) - int(mask.count_nonzero())
            shuffled[name] = before[name] & ~lowest({name: draws}, {name: before[name]}, drop)[name]
        return Masks(shuffled)

    def _scores(self, name: str, weight: Tensor, macs: Mapping[str, Tensor] | None) -> Tensor:
        """The criterion's scores, with what it asks for."""
        if not isinstance(self.criterion, CostedCriterion):
            return self.criterion.saliency(name, weight)
        if macs is None:
            raise TypeError(f"{self.criterion} asks what weights cost: prune(..., macs=...)")
        return self.criterion.saliency_at(name, weight, macs[name])

    def _override(self, name: str) -> float | None:
        return next((share for pattern, share in self.sparsities if matches(name, pattern)), None)

    def _minimum(self, size: int) -> int:
        # Rounded first: 0.07 * 100 is a hair above 7.
        return math.ceil(round(self.floor * size, 6))

    def _budget(self, kept: Tensor) -> int:
        """How many more of a tensor's weights may be pruned."""
        return max(int(kept.count_nonzero()) - self._minimum(kept.numel()), 0)

    def _tiers(
        self, kept: dict[str, Tensor], macs: Mapping[str, Tensor] | None
    ) -> list[dict[str, Tensor]]:
        """The weights that may be pruned, in the order of whole classes of them."""
        if self.dead_weights == "rank" or macs is None:
            return [kept]
        live = {name: (macs[name] > 0).to(mask.device) for name, mask in kept.items()}
        return [
            {name: mask & ~live[name] for name, mask in kept.items()},
            {name: mask & live[name] for name, mask in kept.items()},
        ]


def _within_budget(
    scores: Mapping[str, Tensor], candidates: Mapping[str, Tensor], budgets: Mapping[str, int]
) -> dict[str, Tensor]:
    """Leaves each tensor only as many candidates, its lowest, as may be pruned of it."""
    return {
        name: lowest(
            {name: scores[name]}, {name: mask}, min(budgets[name], int(mask.count_nonzero()))
        )[name]
        for name, mask in candidates.items()
    }


def _apportion(
    shares: Mapping[str, float], total: int, least: Mapping[str, int], most: Mapping[str, int]
) -> dict[str, int]:
    """Whole numbers nearest to `shares`, within bounds, that sum up to `total`."""
    counts = {n: min(max(round(share), least[n]), most[n]) for n, share in shares.items()}
    while gap := total - sum(counts.values()):
        step = 1 if gap > 0 else -1
        movable = [n for n in counts if least[n] <= counts[n] + step <= most[n]]
        nearest = min(movable, key=lambda n: (step * (counts[n] - shares[n]), n))
        counts[nearest] += step
    return counts
