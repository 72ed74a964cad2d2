"""Accuracy before, right after and recovered, for every prune event."""

from collections import Counter
from collections.abc import Sequence

from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from lightprune.report.cells import Cell
from lightprune.report.document import Block, Section, Table
from lightprune.report.drawing import COLOURS, GREY, drawn, pages, percents
from lightprune.report.findings import Findings
from lightprune.report.statistics import Summary
from lightprune.training.events import EventRecord

_ROW = 0.2


def events(findings: Findings) -> Section:
    """The figures, forty events each, and the table."""
    cells = findings.pruned
    rows = [(cell.name, event) for cell in cells for event in cell.first.events]
    caption = (
        "Validation accuracy before an event (open circle), right after it (cross) and after the "
        "last epoch trained before the next event (filled). First seed of each cell."
    )
    found: list[Block] = []
    for suffix, chosen in pages(rows, 40):

        def draw(canvas: Canvas, chosen: Sequence[tuple[str, EventRecord]] = chosen) -> None:
            _draw(canvas, chosen)

        title = "Before, right after, recovered"
        found.append(drawn(f"events{suffix}", title, caption, 1.1 + _ROW * len(chosen), draw))
    shown = (*found, _table(cells)) if cells else ()
    return Section("Before, right after, recovered", shown)


def _draw(canvas: Canvas, rows: Sequence[tuple[str, EventRecord]]) -> None:
    axes = canvas.subplots()
    for place, (_, event) in enumerate(rows):
        known = [event.before, event.after]
        known += [] if event.recovered is None else [event.recovered]
        axes.plot([min(known), max(known)], [place, place], color=GREY, linewidth=0.8)
        axes.plot(event.after, place, "x", color=COLOURS[1], markeredgewidth=1.6)
        if event.recovered is not None:
            axes.plot(event.recovered, place, "o", color=COLOURS[0])
        axes.plot(
            event.before, place, "o", markersize=7, markerfacecolor="none", markeredgecolor="black"
        )
    names = [
        f"{name} → {100 * event.sparsity:.4g} %" if _many(rows, name) else name
        for name, event in rows
    ]
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("validation accuracy (%)")
    percents(axes.xaxis)
    canvas.legend(
        handles=[
            Line2D([], [], linestyle="none", marker=marker, label=label, **colours)
            for marker, label, colours in (
                ("o", "before", {"markerfacecolor": "none", "markeredgecolor": "black"}),
                ("x", "right after", {"markeredgecolor": COLOURS[1], "markeredgewidth": 1.6}),
                ("o", "recovered", {"color": COLOURS[0]}),
            )
        ],
        loc="outside upper right",
        ncols=3,
        frameon=False,
    )


def _many(rows: Sequence[tuple[str, EventRecord]], name: str) -> bool:
    return [other for other, _ in rows].count(name) > 1


def _table(cells: tuple[Cell, ...]) -> Table:
    rows = []
    for cell in cells:
        for number, event in enumerate(cell.first.events):
            records = [run.events[number] for run in cell.runs]
            recovered = [e.recovered for e in records if e.recovered is not None]
            rows.append(
                (
                    cell.name,
                    str(event.epoch),
                    f"{100 * event.sparsity:.2f} %",
                    f"{100 * Summary.of([e.live_sparsity for e in records]).mean:.2f} %",
                    Summary.of([e.before for e in records]).percent,
                    Summary.of([e.after for e in records]).percent,
                    Summary.of(recovered).percent if recovered else "",
                    _emptied(records),
                )
            )
    columns = (
        "cell",
        "before epoch",
        "sparsity",
        "live sparsity",
        "before",
        "right after",
        "recovered",
        "emptied layers",
    )
    return Table(columns, tuple(rows))


def _emptied(records: list[EventRecord]) -> str:
    """Layers of which nothing is left, and in how many of several seeds."""
    counts = Counter(name.removesuffix(".weight") for e in records for name in e.emptied)
    return ", ".join(
        name if count == len(records) else f"{name} ({count} of {len(records)} seeds)"
        for name, count in counts.items()
    )
