"""How many weights of each tensor are pruned: scope, sparsities by name, floor, cap, pattern."""

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor

from lightprune.errors import InputError, check_choice, check_number
from lightprune.pruning.masks import Masks
from lightprune.pruning.nm_sparsity import NM
from lightprune.pruning.scopes import SCOPES, RankingGroup, Shape, TensorBudget
from lightprune.pruning.targets import check_pattern, matches

# So fine that one step moves the cap of the largest tensor by less than one weight.
_STEPS = 1 << 30


@dataclass(frozen=True)
class Allocation:
    """Divides the zeros of a prune event among tensors; attributes as of `Pruner`."""

    scope: str = "global"
    sparsities: tuple[tuple[str, float], ...] = ()
    floor: float = 0.0
    cap: float = 1.0
    pattern: NM | None = None

    def __post_init__(self) -> None:
        check_choice("pruner.scope", self.scope, SCOPES)
        check_number("pruner.floor", self.floor, 0, 1, open_high=True)
        check_number("pruner.cap", self.cap, 0, 1, open_low=True)
        if self.floor > self.cap:
            raise InputError(
                f"pruner.floor={self.floor}: above pruner.cap={self.cap}; allowed is at most that"
            )
        if self.pattern and not self.floor <= self.pattern.density <= self.cap:
            name = "floor" if self.floor > self.pattern.density else "cap"
            raise InputError(
                f"pruner.{name}={getattr(self, name)}: pruner.pattern={self.pattern} keeps "
                f"{self.pattern.density:g} of each tensor; allowed is a {name} that permits that"
            )
        pairs = []
        is_list = isinstance(self.sparsities, list | tuple)
        for pair in self.sparsities if is_list else [self.sparsities]:
            if not (isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)):
                raise InputError(
                    f"pruner.sparsities={pair}: allowed is a list of [pattern, sparsity] pairs"
                )
            check_number(f"pruner.sparsities[{pair[0]}]", pair[1], 0, 1)
            pairs.append((pair[0], float(pair[1])))
        object.__setattr__(self, "sparsities", tuple(pairs))

    def groups(
        self,
        weights: Mapping[str, Tensor],
        sparsity: float,
        *,
        final: float | None = None,
        masks: Masks | None = None,
    ) -> list[RankingGroup]:
        """Divides the zeros; args and errors as of `Pruner.zero_counts`.

        Returns:
            Groups that hold every tensor once: first those that `sparsities` names or that the
            pattern leaves dense, then the others.
        """
        for name, _ in self.sparsities:
            check_pattern("pruner.sparsities", name, dict(weights))
        pruned = dict.fromkeys(weights, 0)
        if masks is not None:
            pruned = {n: w.numel() - int(masks[n].count_nonzero()) for n, w in weights.items()}
        shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
        protected = SCOPES[self.scope].protected(shapes)
        progress = sparsity / final if final else 1.0
        separate: list[RankingGroup] = []
        common: list[TensorBudget] = []
        for name, shape in shapes.items():
            group = self._separate(name, shape, pruned[name], progress)
            if group is not None:
                separate.append(group)
            else:
                common.append(self._budget(name, shape, pruned[name], protected.get(name, 0.0)))
        group = RankingGroup(tuple(common), 0)
        group = replace(group, zeros=max(round(sparsity * group.size), group.pruned))
        self._check([*separate, group], group, sparsity, sparsity if final is None else final)
        parts = SCOPES[self.scope].split(self._relax_cap(group), sparsity)
        return [part for part in (*separate, *parts) if part.budgets]

    def _separate(
        self, name: str, shape: Shape, pruned: int, progress: float
    ) -> RankingGroup | None:
        """The group of a tensor outside the common sparsity: one of `sparsities`, or left dense."""
        size = math.prod(shape)
        for pattern, share in self.sparsities:
            if matches(name, pattern):
                budget = TensorBudget(name, shape, pruned, min_kept(self.floor, size), size)
                return RankingGroup((budget,), max(round(share * progress * size), pruned))
        if self.pattern and not self.pattern.covers(shape):
            return RankingGroup((TensorBudget(name, shape, pruned, size, size),), pruned)
        return None

    def _budget(self, name: str, shape: Shape, pruned: int, protected: float) -> TensorBudget:
        size = math.prod(shape)
        cap = _floor(self.cap * size)
        whole = size // self.pattern.of * self.pattern.keep if self.pattern else 0
        minimum = max(min_kept(self.floor, size), min(_ceil(protected * size), cap), whole)
        return TensorBudget(name, shape, pruned, minimum, max(minimum, cap), self.pattern)

    def _relax_cap(self, group: RankingGroup) -> RankingGroup:
        """The group with the lowest cap, from `self.cap` upwards, that its zeros allow.

        An early event keeps more than the cap in sum, and what is pruned already stays pruned.
        """

        def at(step: int) -> RankingGroup:
            cap = self.cap + (1 - self.cap) * step / _STEPS
            budgets = [
                replace(budget, maximum=max(budget.maximum, _floor(cap * budget.size)))
                for budget in group.budgets
            ]
            return replace(group, budgets=tuple(budgets))

        def spare(step: int) -> int:
            return group.zeros - sum(budget.min_zeros for budget in at(step).budgets)

        return at(bisect_left(range(_STEPS), 0, key=spare))

    def _check(
        self, groups: list[RankingGroup], common: RankingGroup, sparsity: float, final: float
    ) -> None:
        if self.pattern:
            self._check_pattern(self.pattern, common.size, final)
        for group in groups:
            self._check_room(group)
        allowed, kept = sum(budget.maximum for budget in common.budgets), common.size - common.zeros
        if sparsity >= final and allowed < kept:
            raise InputError(
                f"pruner.cap={self.cap}: keeps at most {allowed} of {_named(common)}, of which "
                f"{kept} are to be kept; allowed is a cap above the kept share"
            )

    def _check_pattern(self, pattern: NM, size: int, final: float) -> None:
        if not size:
            raise InputError(
                f"pruner.pattern={pattern}: no prunable weight has its input channels in whole "
                f"groups of {pattern.of}; allowed is a pattern that fits some layer"
            )
        if round(final * size) != size // pattern.of * (pattern.of - pattern.keep):
            raise InputError(
                f"pruner.pattern={pattern}: is not whole at a final sparsity of {final:g}; "
                f"allowed is schedule.sparsity={1 - pattern.density}"
            )

    def _check_room(self, group: RankingGroup) -> None:
        allowed = sum(budget.max_zeros for budget in group.budgets)
        if group.zeros > allowed:
            sizes = [(budget.size, budget.pruned) for budget in group.budgets]
            room = sum(max(size - min_kept(self.floor, size), pruned) for size, pruned in sizes)
            cause = "floor" if group.zeros > room else "scope"
            raise InputError(
                f"pruner.{cause}={getattr(self, cause)}: keeps {group.size - allowed} of "
                f"{_named(group)}, of which {group.zeros} are to be pruned; allowed is a {cause} "
                "that leaves room for the sparsity"
            )


def min_kept(floor: float, size: int) -> int:
    """How many of `size` weights a floor keeps from being pruned."""
    return _ceil(floor * size)


def _named(group: RankingGroup) -> str:
    others = " and others" if len(group.budgets) > 1 else ""
    return f"the weights of {', '.join(group.names[:1])}{others}"


def _ceil(count: float) -> int:
    # Rounded first: 0.07 * 100 is a hair above 7.
    return math.ceil(round(count, 6))


def _floor(count: float) -> int:
    return math.floor(round(count, 6))
