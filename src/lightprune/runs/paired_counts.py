"""Two networks on the same test images: the discordant counts, and what they say (McNemar)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Two-sided, of a 95 % interval.
Z_95 = 1.959963984540054


@dataclass(frozen=True)
class PairedCounts:
    """How many images two networks were tested on, and how many only one of them has right."""

    images: int
    only_first: int
    only_second: int

    @classmethod
    def of(cls, first: Sequence[bool], second: Sequence[bool]) -> "PairedCounts":
        """Counts the images on which exactly one of two networks is right."""
        pairs = list(zip(first, second, strict=True))
        return cls(len(pairs), pairs.count((True, False)), pairs.count((False, True)))

    @property
    def reversed(self) -> "PairedCounts":
        """The same images with the two networks changed over."""
        return PairedCounts(self.images, self.only_second, self.only_first)

    @property
    def difference(self) -> float:
        """Accuracy of the first network less that of the second, -1..1."""
        return (self.only_first - self.only_second) / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the difference: Wald's, adjusted after Bonett and Price."""
        gap, discordant = self.only_first - self.only_second, self.only_first + self.only_second
        return _interval(self.images, gap, discordant)

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside the interval of the difference."""
        return excludes_zero(self.interval)


def mean_interval(pairs: Sequence[tuple[Sequence[bool], Sequence[bool]]]) -> tuple[float, float]:
    """The 95 % interval of the mean difference of pairs of networks, all tested on the same images.

    The images are what was sampled: several pairs that agree on them tell no more than one.

    Args:
        pairs: At least one; for each image whether the first and the second network have it right.
    """
    gaps = np.mean([np.subtract(*np.asarray(pair, dtype=np.int8)) for pair in pairs], axis=0)
    return _interval(len(gaps), float(gaps.sum()), float((gaps**2).sum()))


def excludes_zero(interval: tuple[float, float]) -> bool:
    """Whether 0 lies outside an interval."""
    return not interval[0] <= 0 <= interval[1]


def _interval(images: int, gap: float, squares: float) -> tuple[float, float]:
    """Of a mean, by the sum of the images' differences and that of their squares.

    Without the two images added, one a network, networks that agree on every image would differ by
    nothing for certain.
    """
    images += 2
    half = Z_95 * math.sqrt(squares + 2 - gap**2 / images) / images
    return max(-1.0, gap / images - half), min(1.0, gap / images + half)
