"""How accuracy falls as one layer is pruned: a curve through noisy points that never rises."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression


@dataclass(frozen=True)
class Curve:
    """How much accuracy the network loses if one layer alone is pruned.

    Attributes:
        zeros: Zero weights, ascending: as the network is, and at each measurement.
        drops: The accuracy lost there, 0..1: 0 at first, and never falling.
    """

    name: str
    weights: int
    zeros: tuple[int, ...]
    drops: tuple[float, ...]

    @classmethod
    def through(cls, name: str, weights: int, start: int, measured: Mapping[int, float]) -> "Curve":
        """The monotone curve nearest to what was measured: drops by the number of zeros.

        More zeros cannot help, but few images make it look so. So the drops are replaced by
        those nearest to them, in least squares, that are at least 0 and never fall; between two
        points the curve is straight. At `start` zeros, fewer than any measured, the drop is 0.
        """
        zeros = sorted(measured)
        # The nearest values above a bound are the nearest values, cut off there.
        fitted = isotonic_regression([measured[count] for count in zeros]).x
        drops = [max(float(drop), 0.0) for drop in fitted]
        return cls(name, weights, (start, *zeros), (0.0, *drops))

    def within(self, tolerance: float) -> int:
        """The most zeros at which the drop is at most `tolerance`, 0 or more."""
        last = bisect_right(self.drops, tolerance) - 1
        if last == len(self.zeros) - 1:
            return self.zeros[-1]
        low, high = self.drops[last : last + 2]
        start, after = self.zeros[last : last + 2]
        return start + math.floor((tolerance - low) / (high - low) * (after - start))

    def at(self, zeros: int) -> float:
        """The drop at so many zeros, within the curve's range."""
        return float(np.interp(zeros, self.zeros, self.drops))

    def up_to(self, most: int) -> "Curve":
        """The same curve, ending at `most` zeros (but not before its start)."""
        if self.zeros[-1] <= most:
            return self
        count = max(bisect_right(self.zeros, most), 1)
        zeros, drops = self.zeros[:count], self.drops[:count]
        if most > zeros[-1]:
            zeros, drops = (*zeros, most), (*drops, self.at(most))
        return Curve(self.name, self.weights, zeros, drops)
