"""Accuracy before, right after and recovered, for every prune event."""

from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from lightprune.report.cells import Cell
from lightprune.report.document import Figure
from lightprune.report.figures.style import COLOURS, GREY, drawn, pages, percents
from lightprune.training.events import EventRecord

_ROW = 0.2


def events(cells: tuple[Cell, ...]) -> list[Figure]:
    """A row for each event of each cell's first seed, forty a figure."""
    rows = [(cell.name, event) for cell in cells for event in cell.first.events]
    caption = (
        "Validation accuracy before an event (open circle), right after it (cross) and after the "
        "last epoch trained before the next event (filled). First seed of each cell."
    )
    found = []
    for suffix, part in pages(rows, 40):
        chosen: list[tuple[str, EventRecord]] = list(part)

        def draw(canvas: Canvas, chosen: list[tuple[str, EventRecord]] = chosen) -> None:
            _draw(canvas, chosen)

        title = "Before, right after, recovered"
        found.append(drawn(f"events{suffix}", title, caption, 1.1 + _ROW * len(chosen), draw))
    return found


def _draw(canvas: Canvas, rows: list[tuple[str, EventRecord]]) -> None:
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


def _many(rows: list[tuple[str, EventRecord]], name: str) -> bool:
    return [other for other, _ in rows].count(name) > 1
