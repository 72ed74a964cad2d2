"""What pruning does to each class: recall against the run's own dense network."""

from dataclasses import dataclass

from lightprune.report.cells import Cell
from lightprune.report.document import Table
from lightprune.report.statistics import Summary
from lightprune.report.wording import points


@dataclass(frozen=True)
class ClassChange:
    """A cell's change of recall by class, 0..1, mean over seeds."""

    cell: str
    change: tuple[float, ...]


def class_changes(cells: tuple[Cell, ...]) -> list[ClassChange]:
    """A row for each cell of which at least one run has its dense network's predictions."""
    found = []
    for cell in cells:
        count = len(cell.first.data.classes)
        by_seed = []
        for run in cell.runs:
            if run.dense.predictions is not None:
                before = run.dense.predictions.recalls(count)
                after = run.predictions.recalls(count)
                by_seed.append([b - a for a, b in zip(before, after, strict=True)])
        if by_seed:
            means = (Summary.of(values).mean for values in zip(*by_seed, strict=True))
            found.append(ClassChange(cell.name, tuple(means)))
    return found


def class_table(changes: list[ClassChange], names: tuple[str, ...]) -> Table:
    """The worst and the best class of each cell, and how many lose."""
    rows = []
    for change in changes:
        ranked = sorted(zip(change.change, names, strict=True))
        worst, best = ranked[0], ranked[-1]
        losers = sum(value < 0 for value in change.change)
        spread = Summary.of(change.change).spread or 0.0
        rows.append((change.cell, _named(worst), _named(best), f"{losers}", f"{100 * spread:.1f}"))
    columns = ("cell", "largest loss", "largest gain", "classes that lose", "spread over classes")
    return Table(columns, tuple(rows))


def _named(change: tuple[float, str]) -> str:
    return f"{change[1]} {points(change[0], 1)}"
