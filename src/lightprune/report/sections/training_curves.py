"""Training epoch by epoch, dense networks first, with the prune events marked."""

from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from lightprune.rendering import plotting
from lightprune.rendering.document import Block
from lightprune.report.findings import Findings
from lightprune.report.reported_run import ReportedRun
from lightprune.report.result_table import ResultRow

_TITLE = "Training curves"
_COLUMNS = 3
_CAPTION = (
    "Validation accuracy after each epoch, a line a seed: first the dense networks, then the "
    "fine-tuning of every configuration. At a dotted line the network is pruned to the sparsity "
    "above it: the curve falls from the accuracy before to the accuracy right after."
)


def training_curves_section(findings: Findings) -> Iterator[Block]:
    """A panel for each kind of dense network, then one a configuration; twelve a figure."""
    drawn = [r for r in findings.rows if any(_path(run, r)[0] for run in r.runs)]
    for suffix, rows in plotting.paginate(drawn, 4 * _COLUMNS):
        height, draw = 0.5 + 1.75 * -(-len(rows) // _COLUMNS), partial(_draw, rows)
        yield plotting.draw_figure(f"curves{suffix}", _TITLE, _CAPTION, height, draw)


def _draw(rows: Sequence[ResultRow], canvas: Canvas) -> None:
    plotting.draw_panels(canvas, rows, _COLUMNS, _panel)
    canvas.supxlabel("epochs of this phase done")
    canvas.supylabel("validation accuracy (%)")


def _panel(axes: Axes, row: ResultRow) -> None:
    events = row.first.events if row.group else ()
    for index, run in enumerate(row.runs):
        xs, ys = _path(run, row)
        width = 1.4 if index == 0 else 0.8
        colour = plotting.COLOURS[0] if index == 0 else plotting.COLOURS[4]
        axes.plot(xs, ys, color=colour, linewidth=width, zorder=3 - index / 10)
    for number, event in enumerate(events):
        axes.axvline(event.epoch, color=plotting.GREY, linestyle=":", linewidth=1)
        # Events that lie close together would write over each other.
        if number in (0, len(events) - 1):
            axes.annotate(
                f"{100 * event.sparsity:.4g}",
                (event.epoch, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(1.5, -1),
                textcoords="offset points",
                va="top",
                color=plotting.GREY,
            )
    axes.set_title(plotting.wrap_label(row.name))
    axes.set_xlim(left=-0.1)
    axes.margins(y=0.16)  # Room for the sparsities above the curve.
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    plotting.percent_ticks(axes.yaxis)


def _path(run: ReportedRun, row: ResultRow) -> tuple[Sequence[float], Sequence[float]]:
    if row.group:
        return _accuracy_path(run)
    return range(1, len(run.dense_curve) + 1), run.dense_curve


def _accuracy_path(run: ReportedRun) -> tuple[Sequence[float], Sequence[float]]:
    """The fine-tuning of a run: falls at the events, and a point at the end of every epoch."""
    xs: list[float] = []
    ys: list[float] = []
    events = {event.epoch: event for event in run.events}
    for epoch, accuracy in enumerate(run.curve):
        if event := events.get(epoch):
            measured = (event.before, event.after, event.recalibrated)
            falls = [accuracy for accuracy in measured if accuracy is not None]
            xs += [epoch] * len(falls)
            ys += falls
        xs.append(epoch + 1)
        ys.append(accuracy)
    return xs, ys
