"""What a report's sections are made from: cells, rows and tests of a study's finished runs."""

from dataclasses import dataclass

from lightprune.report.cells import Cell, cells_of
from lightprune.report.comparisons import Comparison, against_dense, between_runs
from lightprune.report.gather import Study
from lightprune.report.rows import Row, rows_of
from lightprune.report.throughput import Throughput
from lightprune.sparse.bench.speedups import SpeedUps


@dataclass(frozen=True)
class Findings:
    """Everything that is computed before a report is written.

    Attributes:
        study: The runs, and those that are left out.
        cells: Its runs, seeds together.
        rows: Of the result table: dense networks, then cells.
        against_dense: Each run against the network that it started from.
        between: Runs against each other.
        throughput: Of the study's training loop and of this project's; None if not measured.
        speedups: Of the sparse runtime by sparsity; None if not measured.
    """

    study: Study
    cells: tuple[Cell, ...]
    rows: tuple[Row, ...]
    against_dense: tuple[Comparison, ...]
    between: tuple[Comparison, ...]
    throughput: Throughput | None
    speedups: SpeedUps | None

    @classmethod
    def of(
        cls, study: Study, throughput: Throughput | None = None, speedups: SpeedUps | None = None
    ) -> "Findings":
        """Computes them."""
        cells = cells_of(study.runs)
        tests = (against_dense(cells), between_runs(cells))
        return cls(study, cells, rows_of(cells), *tests, throughput, speedups)

    @property
    def pruned(self) -> tuple[Cell, ...]:
        """The cells in which something was pruned."""
        return tuple(cell for cell in self.cells if cell.first.events)
