"""What a configuration is held against: its control, or without one its dense network."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lightprune.report.comparisons import UNCORRECTED, Comparison
from lightprune.report.statistics import MeanStd, interval_label
from lightprune.runs.paired_counts import excludes_zero, mean_interval


@dataclass(frozen=True)
class Baseline:
    """The difference of a configuration to its baseline, over the seeds that both have.

    The control is the dense network trained for as many epochs on the same recipe.

    Attributes:
        name: Of the control; empty for each run's own dense network.
        difference: Of the accuracies.
        bounds: Of the 95 % interval that the test images allow; None without predictions.
        verdict: What the paired tests say, in a few words.
        seeds: Of the runs that the difference is over.
    """

    name: str
    difference: MeanStd
    bounds: tuple[float, float] | None
    verdict: str
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, name: str, tests: Sequence[Comparison]) -> "Baseline":
        """From at least one comparison that has counts, the configuration first."""
        difference = MeanStd.of([test.paired.difference for test in tests if test.paired])
        seeds = tuple(sorted({test.seed for test in tests if test.paired}))
        return cls(name, difference, _bounds(tests), verdict(tests), seeds)

    def seeds_label(self, runs: int) -> str:
        """`seed 0`, where the difference is over fewer seeds than an accuracy over `runs`."""
        if len(self.seeds) >= runs:
            return ""
        noun = "seed" if len(self.seeds) == 1 else "seeds"
        return f"{noun} {', '.join(map(str, self.seeds))}"

    @property
    def words(self) -> str:
        """`the control` or `its dense network`."""
        return "the control" if self.name else "its dense network"

    @property
    def reversed(self) -> "Baseline":
        """The baseline's difference to the configuration."""
        turned = MeanStd(-self.difference.mean, self.difference.spread)
        bounds = self.bounds and (-self.bounds[1], -self.bounds[0])
        return replace(self, difference=turned, bounds=bounds)

    @property
    def interval(self) -> str:
        """The 95 % interval that the number of test images allows, in pp; empty if unknown."""
        return interval_label(self.bounds) if self.bounds else ""


def tests_between(comparisons: Sequence[Comparison], first: str, second: str) -> list[Comparison]:
    """The comparisons of two configurations that may be ranked, each turned to this order."""
    tests = []
    for test in comparisons:
        if test.paired is None or test.obstacle:
            continue
        if (test.first, test.second) == (first, second):
            tests.append(test)
        elif (test.first, test.second) == (second, first):
            tests.append(test.reversed)
    return tests


def verdict(tests: Sequence[Comparison]) -> str:
    """What at least one comparison of two configurations, which has counts, says of the first.

    Where no seed's corrected p is below the level, the interval over all seeds may still exclude 0.
    """
    gains = [t.paired.difference > 0 for t in tests if t.separated and t.paired]
    bounds = _bounds(tests)
    if len(set(gains)) > 1:
        return "seeds disagree"
    if not gains and not excludes_zero(bounds):
        return "not separated"
    words = "more accurate" if (gains[0] if gains else bounds[0] > 0) else "less accurate"
    if not gains:
        words += f" {UNCORRECTED}"
    elif len(gains) < len(tests):
        words += f" in {len(gains)} of {len(tests)} seeds"
    return f"{words}, trained longer" if any(test.obstacle for test in tests) else words


def _bounds(tests: Sequence[Comparison]) -> tuple[float, float]:
    return mean_interval([test.right for test in tests if test.right])
