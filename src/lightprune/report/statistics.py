"""The statistics of a report, and how they read: tests, intervals, mean and spread."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import binomtest

from lightprune.rendering.number_format import pp_label
from lightprune.runs.paired_counts import Z_95, PairedCounts


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


def interval_label(bounds: tuple[float, float]) -> str:
    """The bounds of an interval in percentage points: `−0.59 to +0.19`."""
    return " to ".join(map(pp_label, bounds))


def mcnemar_p_value(paired: PairedCounts) -> float:
    """McNemar's test, exact and two-sided: are both equally often the only one right?"""
    discordant = paired.only_first + paired.only_second
    return float(binomtest(paired.only_first, discordant).pvalue) if discordant else 1.0


def wilson_interval(correct: int, images: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    share, squared = correct / images, Z_95**2 / images
    centre = (share + squared / 2) / (1 + squared)
    half = Z_95 / (1 + squared) * math.sqrt(share * (1 - share) / images + squared / (4 * images))
    return max(0.0, centre - half), min(1.0, centre + half)


def holm_correction(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number, after Holm: each still holds at its face value."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
