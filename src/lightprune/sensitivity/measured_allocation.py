"""A sparsity for every layer: the highest that each bears at one tolerance, in an exact total."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lightprune.errors import InputError
from lightprune.sensitivity.accuracy_curve import Curve


@dataclass(frozen=True)
class MeasuredAllocation:
    """How many weights of each layer are pruned, by what pruning it was measured to cost.

    `tolerance` is the accuracy, 0..1, that pruning any one layer so far may cost; weights and zeros
    are by the name of the layer's parameter.
    """

    tolerance: float
    weights: Mapping[str, int]
    zeros: Mapping[str, int]

    @property
    def total(self) -> int:
        """How many weights are pruned in all."""
        return sum(self.zeros.values())

    @property
    def sparsities(self) -> dict[str, str]:
        """The sparsity of each layer, as `shortest` writes it."""
        return {name: shortest(count, self.weights[name]) for name, count in self.zeros.items()}

    @property
    def sparsity(self) -> str:
        """The sparsity of all of them, as `shortest` writes it."""
        return shortest(self.total, sum(self.weights.values()))


def allocate_within(curves: Sequence[Curve], tolerance: float) -> MeasuredAllocation:
    """Prunes each layer as far as its own curve stays within a tolerance.

    A layer's sensitivity as the guide to its share: Li et al. 2017, "Pruning Filters for
    Efficient ConvNets", section 3.2, and Han et al. 2015, "Learning both Weights and Connections
    for Efficient Neural Networks", section 5, who choose by eye. One tolerance for all layers in
    the place of the eye is neither's.
    """
    zeros = {curve.name: curve.within(tolerance) for curve in curves}
    return MeasuredAllocation(tolerance, {curve.name: curve.weights for curve in curves}, zeros)


def allocate_total(curves: Sequence[Curve], zeros: int) -> MeasuredAllocation:
    """Prunes `zeros` weights in all, at the lowest tolerance of `allocate_within` that allows it.

    The tolerance is found by bisection. At it, layers whose curves are flat there could be
    pruned further than the total needs: each goes the same part of its way.

    Raises:
        InputError: The curves begin above so many zeros, or end below.
    """
    least, most = (sum(curve.zeros[end] for curve in curves) for end in (0, -1))
    check_total(zeros, least, most, sum(curve.weights for curve in curves))
    low, high = 0.0, max(curve.drops[-1] for curve in curves)
    below = {curve.name: curve.zeros[0] for curve in curves}
    enough = allocate_within(curves, low)
    if enough.total < zeros:
        below, enough = dict(enough.zeros), allocate_within(curves, high)
        while low < (middle := (low + high) / 2) < high:
            tried = allocate_within(curves, middle)
            if tried.total < zeros:
                low, below = middle, dict(tried.zeros)
            else:
                high, enough = middle, tried
    return MeasuredAllocation(enough.tolerance, enough.weights, _part(below, enough.zeros, zeros))


def check_total(zeros: int, least: int, most: int, weights: int) -> None:
    """Raises InputError unless so many of the weights can be pruned within what is measured."""
    if not least <= zeros <= most:
        low, high = math.ceil(1e6 * least / weights) / 1e6, math.floor(1e6 * most / weights) / 1e6
        raise InputError(
            f"--target={shortest(zeros, weights)}: is outside of what is measured; allowed is "
            f"{low:g} to {high:g} (--sparsities with higher ones, and no pruner.floor, allow more)"
        )


def shortest(zeros: int, weights: int) -> str:
    """The shortest decimal sparsity of which the pruner makes exactly so many zeros."""
    texts = (f"{zeros / weights:.{digits}f}" for digits in range(1, 18))
    return next(text for text in texts if round(float(text) * weights) == zeros)


def _part(low: Mapping[str, int], high: Mapping[str, int], total: int) -> dict[str, int]:
    """Whole numbers that sum up to `total`, all the same part of their way from low to high."""
    room = {name: high[name] - low[name] for name in low}
    gap, whole = total - sum(low.values()), sum(room.values())
    if not whole:
        return dict(low)
    parts = {name: divmod(steps * gap, whole) for name, steps in room.items()}
    rest = gap - sum(steps for steps, _ in parts.values())
    nearest = sorted(parts, key=lambda name: -parts[name][1])[:rest]
    return {name: low[name] + steps + (name in nearest) for name, (steps, _) in parts.items()}
