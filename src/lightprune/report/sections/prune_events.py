"""Accuracy before, right after and recovered, for every prune event."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from matplotlib.figure import Figure as Canvas

from lightprune.pruning.event_record import EventRecord
from lightprune.rendering import plotting
from lightprune.rendering.document import Block, Table
from lightprune.report.findings import Findings
from lightprune.report.groups import RunGroup
from lightprune.report.statistics import MeanStd

_TITLE = "Before, right after, recovered"
_CAPTION = (
    "Validation accuracy before an event (open circle), right after it (cross) and after the "
    "last epoch trained before the next event (filled). First seed of each configuration."
)


def prune_events_section(findings: Findings) -> Iterator[Block]:
    """The figures, forty events each, and the table."""
    groups = findings.pruned
    events = [(group.name, event) for group in groups for event in group.first.events]
    rows = [(name, event) for name, event in events if event.before is not None]
    for suffix, part in plotting.paginate(rows, 40):
        height, draw = 1.1 + 0.2 * len(part), partial(_draw, part)
        yield plotting.draw_figure(f"events{suffix}", _TITLE, _CAPTION, height, draw)
    if groups:
        anew = any(event.recalibrated is not None for _, event in rows)
        yield Table.of(row for group in groups for row in _table_rows(group, anew))


def _draw(rows: Sequence[tuple[str, EventRecord]], canvas: Canvas) -> None:
    axes, names = canvas.subplots(), [name for name, _ in rows]
    for place, (_, event) in enumerate(rows):
        before, after = _known([event.before]), _known([event.after])
        recovered, anew = _known([event.recovered]), _known([event.recalibrated])
        known = [*before, *after, *anew, *recovered]
        axes.plot([min(known), max(known)], [place, place], color=plotting.GREY, linewidth=0.8)
        axes.plot(after, [place] * len(after), **plotting.CROSS)
        axes.plot(anew, [place] * len(anew), **plotting.TRIANGLE)
        axes.plot(recovered, [place] * len(recovered), **plotting.DOT)
        axes.plot(before, [place] * len(before), **plotting.OPEN_CIRCLE)
    labels = [
        f"{name} → {100 * event.sparsity:.4g} %" if names.count(name) > 1 else name
        for name, event in rows
    ]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel("validation accuracy (%)")
    plotting.percent_ticks(axes.xaxis)
    shown = {
        "before": plotting.OPEN_CIRCLE,
        "right after": plotting.CROSS,
        "recovered": plotting.DOT,
    }
    if any(event.recalibrated is not None for _, event in rows):
        shown["recalibrated"] = plotting.TRIANGLE
    plotting.marker_legend(canvas, shown)


def _table_rows(group: RunGroup, anew: bool) -> Iterator[dict[str, str]]:
    """One row an event; with `anew` also the accuracy once batch norms were recalibrated."""
    for number, event in enumerate(group.first.events):
        records = [run.events[number] for run in group.runs]
        recalibrated = _percent(_known(e.recalibrated for e in records))
        yield {
            "configuration": group.name,
            "before epoch": str(event.epoch),
            "sparsity": f"{100 * event.sparsity:.2f} %",
            "live sparsity": f"{100 * MeanStd.of([e.live_sparsity for e in records]).mean:.2f} %",
            "before": _percent(_known(e.before for e in records)),
            "right after": _percent(_known(e.after for e in records)),
            **({"recalibrated": recalibrated} if anew else {}),
            "recovered": _percent(_known(e.recovered for e in records)),
            "emptied layers": _emptied(records),
        }


def _known(accuracies: Iterable[float | None]) -> list[float]:
    return [accuracy for accuracy in accuracies if accuracy is not None]


def _percent(accuracies: list[float]) -> str:
    return MeanStd.of(accuracies).percent if accuracies else ""


def _emptied(records: list[EventRecord]) -> str:
    counts = Counter(name.removesuffix(".weight") for e in records for name in e.emptied)
    return ", ".join(
        name if count == len(records) else f"{name} ({count} of {len(records)} seeds)"
        for name, count in counts.items()
    )
