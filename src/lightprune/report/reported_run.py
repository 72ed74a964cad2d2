"""A finished run with what was measured of its speed."""

from dataclasses import dataclass

from lightprune.bench.result import BenchResult
from lightprune.runs.finished_run import FinishedRun


@dataclass(frozen=True)
class ReportedRun(FinishedRun):
    """A run of a report.

    Attributes:
        bench: How fast its network is; None if not measured.
        dataset_name: Of its images; empty for the name of their source class.
    """

    bench: BenchResult | None = None
    dataset_name: str = ""

    @property
    def dataset(self) -> str:
        """The images in words, with the first digits of their fingerprint."""
        return f"{self.dataset_name or self.data.source} ({self.data.fingerprint[:8]})"
