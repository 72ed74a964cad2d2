"""What a report's sections are made from: cells, rows and tests of a study's finished runs."""

from dataclasses import dataclass, replace

from lightprune.bench.sparsity_sweep import SparsitySweep
from lightprune.report.comparisons import Comparison, against_dense, between_runs
from lightprune.report.discovery import RunCollection
from lightprune.report.groups import RunGroup, cells_of
from lightprune.report.reported_run import ReportedRun
from lightprune.report.result_table import ResultRow, rows_of
from lightprune.study.throughput import Throughput

# What the names of sweeps begin with whose runs served to choose a recipe.
TRIED = "tried-"


@dataclass(frozen=True)
class Findings:
    """Everything that is computed before a report is written.

    Attributes:
        study: The runs but those that were only tried, and those that are left out.
        tried: Runs that served to choose a recipe, told by the name of their sweep.
        cells: Its runs, seeds together.
        rows: Of the result table: dense networks, then cells.
        against_dense: Each run against the network that it started from.
        between: Runs against each other.
        throughput: Of the study's training loop and of this project's; None if not measured.
        speedups: Of the sparse runtime by sparsity; None if not measured.
    """

    study: RunCollection
    tried: tuple[ReportedRun, ...]
    cells: tuple[RunGroup, ...]
    rows: tuple[ResultRow, ...]
    against_dense: tuple[Comparison, ...]
    between: tuple[Comparison, ...]
    throughput: Throughput | None
    speedups: SparsitySweep | None

    @classmethod
    def of(
        cls,
        study: RunCollection,
        throughput: Throughput | None = None,
        speedups: SparsitySweep | None = None,
    ) -> "Findings":
        """Computes them."""
        tried = tuple(run for run in study.runs if run.folder.startswith(TRIED))
        # A folder of nothing else is a study of its own.
        tried = () if len(tried) == len(study.runs) else tried
        study = replace(study, runs=tuple(run for run in study.runs if run not in tried))
        cells = cells_of(study.runs)
        tests = (against_dense(cells), between_runs(cells))
        return cls(study, tried, cells, rows_of(cells), *tests, throughput, speedups)

    @property
    def pruned(self) -> tuple[RunGroup, ...]:
        """The cells in which something was pruned."""
        return tuple(cell for cell in self.cells if cell.first.events)
