"""The statistics of a report, and how they read: tests, intervals, mean and spread."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

# Two-sided, of a 95 % interval.
_Z = 1.959963984540054


@dataclass(frozen=True)
class MeanStd:
    """Mean, and the sample's standard deviation if there are at least two values."""

    mean: float
    spread: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "MeanStd":
        """Sums up at least one value."""
        spread = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), spread)

    @property
    def percent(self) -> str:
        """`86.80 %`, or `86.80 ± 0.22 %` for several values."""
        spread = "" if self.spread is None else f" ± {100 * self.spread:.2f}"
        return f"{100 * self.mean:.2f}{spread} %"

    @property
    def pp(self) -> str:
        """`−0.12`, or `−0.12 ± 0.05` for several values, in percentage points."""
        spread = "" if self.spread is None else f" ± {100 * self.spread:.2f}"
        return f"{pp_label(self.mean)}{spread}"


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
        half = _Z * math.sqrt(discordant - gap**2 / images) / images
        return max(-1.0, gap / images - half), min(1.0, gap / images + half)

    @property
    def interval_label(self) -> str:
        """The interval in percentage points: `−0.59 to +0.19`."""
        return " to ".join(map(pp_label, self.interval))

    @property
    def p_value(self) -> float:
        """McNemar's test, exact and two-sided: are both equally often the only one right?"""
        discordant = self.only_first + self.only_second
        return float(binomtest(self.only_first, discordant).pvalue) if discordant else 1.0


def wilson_interval(correct: int, images: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    share, squared = correct / images, _Z**2 / images
    centre = (share + squared / 2) / (1 + squared)
    half = _Z / (1 + squared) * math.sqrt(share * (1 - share) / images + squared / (4 * images))
    return max(0.0, centre - half), min(1.0, centre + half)


def holm_correction(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, after Holm: each still holds at its face value."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def pp_label(share: float, decimals: int = 2) -> str:
    """A difference of shares in percentage points, with a sign that is a minus; 0 has none."""
    rounded = round(100 * share, decimals)
    return f"{rounded:+.{decimals}f}".replace("-", "−") if rounded else f"{0:.{decimals}f}"
