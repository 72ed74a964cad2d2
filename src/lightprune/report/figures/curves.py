"""Fine-tuning epoch by epoch, with the prune events marked."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from lightprune.report.cells import Cell
from lightprune.report.document import Figure
from lightprune.report.figures.style import COLOURS, GREY, drawn, pages, panels, percents
from lightprune.report.run import Run

_COLUMNS = 3
_PANEL = 1.75


def curves(cells: tuple[Cell, ...]) -> list[Figure]:
    """A panel a cell, twelve a figure."""
    caption = (
        "Validation accuracy after each epoch of fine-tuning, a line a seed. At a dotted line the "
        "network is pruned to the sparsity above it: the curve falls from the accuracy before to "
        "the accuracy right after."
    )
    found = []
    for suffix, part in pages(cells, 4 * _COLUMNS):
        chosen: tuple[Cell, ...] = tuple(part)

        def draw(canvas: Canvas, chosen: tuple[Cell, ...] = chosen) -> None:
            with panels(canvas, len(chosen), _COLUMNS, sharey=True) as axes:
                for axis, cell in zip(axes, chosen, strict=True):
                    _panel(axis, cell)
            canvas.supxlabel("epochs of fine-tuning done", fontsize=8)
            canvas.supylabel("validation accuracy (%)", fontsize=8)

        height = 0.5 + _PANEL * -(-len(chosen) // _COLUMNS)
        found.append(drawn(f"curves{suffix}", "Training curves", caption, height, draw))
    return found


def _panel(axes: Axes, cell: Cell) -> None:
    for index, run in enumerate(cell.runs):
        xs, ys = path(run)
        width = 1.4 if index == 0 else 0.8
        colour = COLOURS[0] if index == 0 else COLOURS[4]
        axes.plot(xs, ys, color=colour, linewidth=width, zorder=3 - index / 10)
    events = cell.first.events
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
    axes.set_title(wrapped(cell.name))
    axes.set_xlim(left=-0.1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    percents(axes.yaxis)


def path(run: Run) -> tuple[list[float], list[float]]:
    """The curve of a run: falls at the events, and a point at the end of every epoch."""
    xs, ys = [], []
    events = {event.epoch: event for event in run.events}
    for row in run.epochs:
        if event := events.get(row.epoch):
            xs += [event.epoch, event.epoch]
            ys += [event.before, event.after]
        xs.append(row.epoch + 1)
        ys.append(row.val_accuracy)
    return [float(x) for x in xs], ys


def wrapped(name: str, width: int = 34) -> str:
    """A cell's name in lines that fit over a panel."""
    lines = [""]
    for word in name.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)
