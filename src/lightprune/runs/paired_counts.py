"""Two networks on the same test images: the discordant counts, and what they say (McNemar)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
        """The 95 % interval of the difference: Wald's, adjusted after Bonett and Price.

        Without their added images, networks that agree on every image would differ by nothing for
        certain.
        """
        images, gap = self.images + 2, self.only_first - self.only_second
        discordant = self.only_first + self.only_second + 2
        half = Z_95 * math.sqrt(discordant - gap**2 / images) / images
        return max(-1.0, gap / images - half), min(1.0, gap / images + half)

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside the interval of the difference."""
        low, high = self.interval
        return not low <= 0 <= high
