"""A finished run with what was measured of its speed."""

from dataclasses import dataclass

from lightprune.bench.result import BenchResult
from lightprune.runs.finished_run import FinishedRun


@dataclass(frozen=True)
class ReportedRun(FinishedRun):
    """A run of a report.

    Attributes:
        bench: How fast its network is; None if not measured.
    """

    bench: BenchResult | None = None
