"""What a report's sections are made from: groups of runs, result rows and paired comparisons."""

from dataclasses import dataclass
from functools import cached_property

from lightprune.report.baseline import Baseline, tests_between
from lightprune.report.comparisons import Comparison, against_dense, between_runs
from lightprune.report.discovery import RunCollection
from lightprune.report.groups import CONTROL, RunGroup, group_runs
from lightprune.report.published import Published
from lightprune.report.reported_run import ReportedRun
from lightprune.report.result_table import ResultRow, result_rows
from lightprune.report.training_time import MEASURED, TrainingTime


@dataclass(frozen=True)
class Findings:
    """The runs of a report, grouped and compared.

    Attributes:
        published: Figures to show beside the runs; None for the runs alone.
        tuning_runs: Runs that only Provenance lists, since they served to choose a recipe.
        training_time: What the runs' training costs.
    """

    collection: RunCollection
    published: Published | None = None
    tuning_runs: tuple[ReportedRun, ...] = ()
    training_time: TrainingTime = MEASURED

    @cached_property
    def groups(self) -> tuple[RunGroup, ...]:
        """The runs by configuration, with their seeds together."""
        return group_runs(self.collection.runs)

    @cached_property
    def rows(self) -> tuple[ResultRow, ...]:
        """Of the result table: dense networks, then groups."""
        return result_rows(self.groups, self.published)

    @cached_property
    def against_dense(self) -> tuple[Comparison, ...]:
        """Each run against the network that it started from."""
        return against_dense(self.groups)

    @cached_property
    def between(self) -> tuple[Comparison, ...]:
        """Runs against each other."""
        return between_runs(self.groups)

    @property
    def pruned(self) -> tuple[RunGroup, ...]:
        """The groups whose networks were pruned."""
        return tuple(group for group in self.groups if group.first.events)

    @cached_property
    def baselines(self) -> dict[str, Baseline]:
        """By the name of a row: its control, without one its own dense network."""
        controls = [group.name for group in self.groups if group.kind == CONTROL]
        found = {}
        for row in self.rows:
            if not row.group or not row.difference:
                continue
            tests = {name: tests_between(self.between, row.name, name) for name in controls}
            # Of several the one with most seeds in common.
            control = max(tests, key=lambda name: len(tests[name]), default="")
            if control and tests[control]:
                found[row.name] = Baseline.of(control, tests[control])
            else:
                own = [c for c in self.against_dense if c.first == row.name and c.paired]
                seeds = tuple(run.seed for run in row.runs)
                alone = Baseline("", row.difference, None, "", seeds)
                found[row.name] = Baseline.of("", own) if own else alone
        return found
