"""From weights and a target sparsity to the next masks: criterion, allocation, regrowth."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lightprune.errors import InputError, check_choice, check_number
from lightprune.pruning.allocation import Allocation
from lightprune.pruning.criteria import (
    Criterion,
    Magnitude,
    Probe,
    ScoringContext,
    check_criterion,
)
from lightprune.pruning.criteria.random import uniform
from lightprune.pruning.masks import Masks
from lightprune.pruning.nm_sparsity import NM
from lightprune.pruning.radix_select import k_smallest, prune_group
from lightprune.pruning.reachability import live_masks
from lightprune.pruning.regrowth import Regrowth, check_regrowth
from lightprune.pruning.scopes import RankingGroup


@dataclass(frozen=True)
class Pruner:
    """Prunes the lowest-scored weights, to an exact count.

    What is pruned stays pruned, unless `regrowth` exchanges it.

        pruner = lightprune.Pruner(scope="local", sparsities=(("fc*", 0.5),))
        masks = lightprune.prune(torchvision.models.resnet18(), 0.9, pruner)

    Attributes:
        criterion: Scores every weight.
        scope: `global` ranks all weights together. The others give each tensor a count: `local`
            the same share, `uniform_plus` the same but for a dense first convolution and a last
            linear layer that keeps a fifth, `erk` by the tensor's extents (`scopes.py`).
        sparsities: `(pattern, sparsity)` pairs: a tensor whose name matches gets this share at
            the last event (at earlier ones the same fraction of it as the others of theirs)
            and takes no part in the common ranking. The first matching pattern counts.
        floor: The share of each tensor that is never pruned; the rest is made up elsewhere.
        cap: The largest share of each tensor outside `sparsities` that the last event may keep;
            weights above it are pruned first. Earlier events come as near as their sparsity
            allows. It takes precedence over what `uniform_plus` keeps.
        pattern: `N:M` keeps N of each M consecutive input channels of tensors that have them in
            whole groups, at the last event, whose sparsity must be 1-N/M; earlier events leave
            every group at least N. Other tensors stay dense, those of `sparsities` get
            theirs without a pattern, and `sparsity` counts neither. None prunes any weights.
        unreachable: `rank` treats weights that no input reaches like any other;
            `first` prunes them before any live weight, which changes no output.
        weights: What happens to the kept weights: `keep` their values; `rewind` them to earlier
            ones; or, as sanity checks, `shuffle` which of each tensor are pruned, or
            `reinitialise` them all at the last event (Frankle et al. 2021, section 5).
        regrowth: Which pruned weights come back for others at every event but the first.
        seed: Of the shuffle, and of random regrowth.
    """

    criterion: Criterion = field(default_factory=Magnitude)
    scope: str = "global"
    sparsities: tuple[tuple[str, float], ...] = ()
    floor: float = 0.0
    cap: float = 1.0
    pattern: str | None = None
    unreachable: str = "rank"
    weights: str = "keep"
    regrowth: Regrowth | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_criterion("pruner.criterion", self.criterion)
        object.__setattr__(self, "sparsities", self._allocation.sparsities)
        check_choice("pruner.unreachable", self.unreachable, ("rank", "first"))
        policies = ("keep", "rewind", "reinitialise", "shuffle")
        check_choice("pruner.weights", self.weights, policies)
        check_number("pruner.seed", self.seed, 0, 2**31 - 1, whole=True)
        check_regrowth(self.regrowth)
        exclusive = {
            f"pruner.pattern={self.pattern}": self.pattern is not None,
            "pruner.weights=shuffle": self.weights == "shuffle",
            "pruner.regrowth": self.regrowth is not None,
        }
        if sum(exclusive.values()) > 1:
            settings = " with ".join(name for name, is_set in exclusive.items() if is_set)
            raise InputError(f"{settings}: cannot be combined; allowed is one of them")
        if self.regrowth is not None and self.weights == "rewind":
            raise InputError(
                "pruner.regrowth with pruner.weights=rewind: what regrows starts from zero, and "
                "not from earlier values; allowed is one of them"
            )

    @torch.no_grad()
    def prune(
        self,
        weights: Mapping[str, Tensor],
        masks: Masks,
        sparsity: float,
        *,
        final: float | None = None,
        macs: Mapping[str, Tensor] | None = None,
        probe: Probe | None = None,
        progress: float = 1.0,
        protected: Mapping[str, Tensor] | None = None,
    ) -> Masks:
        """Prunes to `sparsity`, the absolute share of zeros among all `weights`.

        Args:
            weights: Floating-point tensors by name, any layout and device.
            masks: What is kept now.
            sparsity: In [0, 1). `round(sparsity * total)` weights are pruned afterwards, unless
                `sparsities` or `pattern` say otherwise for some tensors, or more are pruned
                already.
            final: The sparsity of the plan's last event, to which `sparsities`, `cap` and
                `pattern` refer; by default this event is the last.
            macs: How often one image has each weight multiply data, by name and in a shape that
                broadcasts to the weight's (`macs_per_weight`); 0 for an unreachable weight.
                Used by `unreachable="first"`, and by criteria that need it.
            probe: Of the network that the weights are of, for criteria and regrowth that need it.
            progress: (i-1)/n for event i of n: how far regrowth has faded.
            protected: Bool by name, of some of the weights: True stays kept whatever its score.

        Returns:
            The next masks, on the devices and in the layouts of `weights`.

        Raises:
            InputError: The settings leave too few weights to prune, or to keep.
            TypeError: The criterion or the regrowth needs `macs` or a `probe` and there is none.
        """
        before = masks.like(weights)
        groups = self._allocation.groups(weights, sparsity, final=final, masks=masks)
        live = self._live(weights, macs)
        protected = protected or {}
        kept = dict(before)
        for turn in range(1, self.criterion.rounds + 1):
            context = ScoringContext(Masks(kept), macs=macs, probe=probe)
            scores = self.criterion.scores(weights, context)
            for group in groups:
                classes = self._classes(group, kept, live, scores, protected)
                zeros = group.zeros_at(turn / self.criterion.rounds)
                kept |= prune_group(kept, scores, classes, group.budgets, zeros)
        if self.regrowth and masks.pruned and self.regrowth.fraction_at(progress):
            context = ScoringContext(before, macs=macs, probe=probe)
            growth_scores = self.regrowth.growth_scores(weights, context, progress, self.seed)
            eligible = dict(live or Masks.dense(weights))
            eligible |= {name: eligible[name] & ~mask for name, mask in protected.items()}
            for group in groups:
                kept |= self.regrowth.exchange(
                    kept, scores, growth_scores, eligible, group.budgets, progress
                )
        if self.weights != "shuffle":
            return Masks(kept)
        return self._shuffled(kept, before, protected)

    def zero_counts(
        self,
        weights: Mapping[str, Tensor],
        sparsity: float,
        *,
        final: float | None = None,
        masks: Masks | None = None,
    ) -> list[tuple[tuple[str, ...], int]]:
        """How many zeros each jointly ranked group of tensors gets: `[(names, zeros), ...]`.

        Counts of single tensors are rounded one by one and then corrected, those nearest to one
        half first, so that their sum is the rounded total. Args as of `prune`.

        Raises:
            InputError: A pattern matches nothing, or a setting does not allow the sparsity.
        """
        groups = self._allocation.groups(weights, sparsity, final=final, masks=masks)
        return [(group.names, group.zeros) for group in groups]

    @property
    def _allocation(self) -> Allocation:
        pattern = None if self.pattern is None else NM.parse(self.pattern)
        return Allocation(self.scope, self.sparsities, self.floor, self.cap, pattern)

    def _live(
        self, weights: Mapping[str, Tensor], macs: Mapping[str, Tensor] | None
    ) -> Masks | None:
        """Which weights some input reaches; None where they are ranked like any other."""
        if self.unreachable == "rank" or macs is None:
            return None
        return live_masks(weights, macs)

    def _classes(
        self,
        group: RankingGroup,
        kept: Mapping[str, Tensor],
        live: Mapping[str, Tensor] | None,
        scores: Mapping[str, Tensor],
        protected: Mapping[str, Tensor],
    ) -> list[dict[str, Tensor]]:
        """The weights of a group that may be pruned, in classes of which the first goes first."""
        prunable = {
            name: kept[name] & ~protected[name] if name in protected else kept[name]
            for name in group.names
        }
        for budget in group.budgets:
            if budget.pattern is not None:
                keys = [each[budget.name] for each in (live, scores) if each is not None]
                prunable[budget.name] = budget.pattern.prunable(kept[budget.name], *keys)
        if live is None:
            return [prunable]
        return [
            {name: mask & ~live[name] for name, mask in prunable.items()},
            {name: mask & live[name] for name, mask in prunable.items()},
        ]

    def _shuffled(
        self, kept: Mapping[str, Tensor], before: Masks, protected: Mapping[str, Tensor]
    ) -> Masks:
        """Masks with the counts of `kept`, drawn at random from the weights kept before."""
        shuffled = {}
        for name, mask in kept.items():
            draws = uniform(mask, "saliency", self.seed, name)
            drop = int(before[name].count_nonzero()) - int(mask.count_nonzero())
            among = before[name] & ~protected[name] if name in protected else before[name]
            shuffled[name] = before[name] & ~k_smallest({name: draws}, {name: among}, drop)[name]
        return Masks(shuffled)
