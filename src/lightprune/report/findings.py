"""What a report's sections are made from: groups of runs, result rows and paired comparisons."""

from dataclasses import dataclass

from lightprune.report.comparisons import Comparison, against_dense, between_runs
from lightprune.report.discovery import RunCollection
from lightprune.report.groups import RunGroup, group_runs
from lightprune.report.published import Published
from lightprune.report.reported_run import ReportedRun
from lightprune.report.result_table import ResultRow, result_rows


@dataclass(frozen=True)
class Findings:
    """Everything that is computed before a report is written.

    Attributes:
        collection: The runs, and those that are left out.
        groups: The same runs by configuration, with their seeds together.
        rows: Of the result table: dense networks, then groups.
        against_dense: Each run against the network that it started from.
        between: Runs against each other.
        published: Figures to show beside the runs; None for the runs alone.
        tuning_runs: Runs that only Provenance lists, since they served to choose a recipe.
    """

    collection: RunCollection
    groups: tuple[RunGroup, ...]
    rows: tuple[ResultRow, ...]
    against_dense: tuple[Comparison, ...]
    between: tuple[Comparison, ...]
    published: Published | None = None
    tuning_runs: tuple[ReportedRun, ...] = ()

    @classmethod
    def of(
        cls,
        collection: RunCollection,
        published: Published | None = None,
        tuning_runs: tuple[ReportedRun, ...] = (),
    ) -> "Findings":
        """Groups and compares the runs of a collection."""
        groups = group_runs(collection.runs)
        return cls(
            collection,
            groups,
            result_rows(groups, published),
            against_dense(groups),
            between_runs(groups),
            published,
            tuning_runs,
        )

    @property
    def pruned(self) -> tuple[RunGroup, ...]:
        """The groups whose networks were pruned."""
        return tuple(group for group in self.groups if group.first.events)
