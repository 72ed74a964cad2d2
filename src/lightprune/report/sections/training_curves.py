"""Training epoch by epoch, dense networks first, with the prune events marked."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from lightprune.pruning.event_record import EventRecord
from lightprune.rendering.document import Block, section
from lightprune.rendering.plotting import (
    COLOURS,
    GREY,
    draw_figure,
    draw_panels,
    paginate,
    percent_ticks,
    wrap_label,
)
from lightprune.report.findings import Findings
from lightprune.report.reported_run import ReportedRun

_TITLE = "Training curves"
_COLUMNS = 3
_CAPTION = (
    "Validation accuracy after each epoch, a line a seed: first the dense networks, then the "
    "fine-tuning of every configuration. At a dotted line the network is pruned to the sparsity "
    "above it: the curve falls from the accuracy before to the accuracy right after."
)


@dataclass(frozen=True)
class Panel:
    """What is drawn on one pair of axes: a line a seed, and the events that all of them share."""

    title: str
    lines: tuple[tuple[list[float], list[float]], ...]
    events: tuple[EventRecord, ...] = ()


@section(_TITLE)
def training_curves_section(findings: Findings) -> Iterator[Block]:
    """A panel for each kind of dense network, then one a configuration; twelve a figure."""
    for suffix, panels in paginate(list(_panels(findings)), 4 * _COLUMNS):
        height, draw = 0.5 + 1.75 * -(-len(panels) // _COLUMNS), partial(_draw, panels)
        yield draw_figure(f"curves{suffix}", _TITLE, _CAPTION, height, draw)


def _panels(findings: Findings) -> Iterator[Panel]:
    for row in findings.rows:
        if row.group:
            lines = tuple(accuracy_path(run) for run in row.group.runs)
            yield Panel(row.name, lines, row.first.events)
        elif any(run.dense_curve for run in row.runs):
            curves = [run.dense_curve for run in row.runs]
            yield Panel(row.name, tuple(([*range(1, len(c) + 1)], [*c]) for c in curves))


def _draw(panels: Sequence[Panel], canvas: Canvas) -> None:
    draw_panels(canvas, panels, _COLUMNS, _panel)
    canvas.supxlabel("epochs of this phase done")
    canvas.supylabel("validation accuracy (%)")


def _panel(axes: Axes, panel: Panel) -> None:
    for index, (xs, ys) in enumerate(panel.lines):
        width = 1.4 if index == 0 else 0.8
        colour = COLOURS[0] if index == 0 else COLOURS[4]
        axes.plot(xs, ys, color=colour, linewidth=width, zorder=3 - index / 10)
    events = panel.events
    for number, event in enumerate(events):
        axes.axvline(event.epoch, color=GREY, linestyle=":", linewidth=1)
        # Events that lie close together would write over each other.
        if number in (0, len(events) - 1):
            axes.annotate(
                f"{100 * event.sparsity:.4g}",
                (event.epoch, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(1.5, -1),
                textcoords="offset points",
                va="top",
                color=GREY,
            )
    axes.set_title(wrap_label(panel.title))
    axes.set_xlim(left=-0.1)
    axes.margins(y=0.16)  # Room for the sparsities above the curve.
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    percent_ticks(axes.yaxis)


def accuracy_path(run: ReportedRun) -> tuple[list[float], list[float]]:
    """The fine-tuning of a run: falls at the events, and a point at the end of every epoch."""
    xs: list[float] = []
    ys: list[float] = []
    events = {event.epoch: event for event in run.events}
    for epoch, accuracy in enumerate(run.curve):
        if event := events.get(epoch):
            falls = [event.before, event.after]
            falls += [] if event.recalibrated is None else [event.recalibrated]
            xs += [epoch] * len(falls)
            ys += falls
        xs.append(epoch + 1)
        ys.append(accuracy)
    return xs, ys
