"""Accuracy before, right after and recovered, for every prune event."""

from collections import Counter
from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure as Canvas

from lightprune.pruning.event_record import EventRecord
from lightprune.rendering.document import Block, Section, Table
from lightprune.rendering.plotting import (
    ANEW,
    CROSS,
    FILLED,
    GREY,
    OPEN,
    drawn,
    legend,
    pages,
    percents,
)
from lightprune.report.findings import Findings
from lightprune.report.groups import RunGroup
from lightprune.report.statistics import Summary

_ROW = 0.2


def events(findings: Findings) -> Section:
    """The figures, forty events each, and the table."""
    cells = findings.pruned
    rows = [(cell.name, event) for cell in cells for event in cell.first.events]
    caption = (
        "Validation accuracy before an event (open circle), right after it (cross) and after the "
        "last epoch trained before the next event (filled). First seed of each cell."
    )
    title = "Before, right after, recovered"
    blocks: list[Block] = []
    for suffix, chosen in pages(rows, 40):

        def draw(canvas: Canvas, chosen: Sequence[tuple[str, EventRecord]] = chosen) -> None:
            _draw(canvas, chosen)

        blocks.append(drawn(f"events{suffix}", title, caption, 1.1 + _ROW * len(chosen), draw))
    if cells:
        anew = any(event.recalibrated is not None for _, event in rows)
        blocks.append(Table.of(row for cell in cells for row in _table_rows(cell, anew)))
    return Section(title, tuple(blocks))


def _draw(canvas: Canvas, rows: Sequence[tuple[str, EventRecord]]) -> None:
    axes, names = canvas.subplots(), [name for name, _ in rows]
    for place, (_, event) in enumerate(rows):
        recovered = [] if event.recovered is None else [event.recovered]
        anew = [] if event.recalibrated is None else [event.recalibrated]
        known = [event.before, event.after, *anew, *recovered]
        axes.plot([min(known), max(known)], [place, place], color=GREY, linewidth=0.8)
        axes.plot(event.after, place, **CROSS)
        axes.plot(anew, [place] * len(anew), **ANEW)
        axes.plot(recovered, [place] * len(recovered), **FILLED)
        axes.plot(event.before, place, **OPEN)
    labels = [
        f"{name} → {100 * event.sparsity:.4g} %" if names.count(name) > 1 else name
        for name, event in rows
    ]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("validation accuracy (%)")
    percents(axes.xaxis)
    shown = {"before": OPEN, "right after": CROSS, "recovered": FILLED}
    if any(event.recalibrated is not None for _, event in rows):
        shown["recalibrated"] = ANEW
    legend(canvas, shown)


def _table_rows(cell: RunGroup, anew: bool) -> Iterator[dict[str, str]]:
    """One row an event; with `anew` also the accuracy once batch norms were recalibrated."""
    for number, event in enumerate(cell.first.events):
        records = [run.events[number] for run in cell.runs]
        recovered = [e.recovered for e in records if e.recovered is not None]
        recalibrated = [e.recalibrated for e in records if e.recalibrated is not None]
        known = Summary.of(recalibrated).percent if recalibrated else ""
        yield {
            "cell": cell.name,
            "before epoch": str(event.epoch),
            "sparsity": f"{100 * event.sparsity:.2f} %",
            "live sparsity": f"{100 * Summary.of([e.live_sparsity for e in records]).mean:.2f} %",
            "before": Summary.of([e.before for e in records]).percent,
            "right after": Summary.of([e.after for e in records]).percent,
            **({"recalibrated": known} if anew else {}),
            "recovered": Summary.of(recovered).percent if recovered else "",
            "emptied layers": _emptied(records),
        }


def _emptied(records: list[EventRecord]) -> str:
    """Layers of which nothing is left, and in how many of several seeds."""
    counts = Counter(name.removesuffix(".weight") for e in records for name in e.emptied)
    return ", ".join(
        name if count == len(records) else f"{name} ({count} of {len(records)} seeds)"
        for name, count in counts.items()
    )
