"""How every drawing looks and is saved: colours, markers, type, bytes that repeat."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from lightprune.rendering.document import Figure

_Item = TypeVar("_Item")

# Okabe and Ito's colours that stand out from white, without black, which marks published figures.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#777777")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#666666"
# Marks that do without colours.
_MARK: dict[str, Any] = {"linestyle": "none"}
OPEN_CIRCLE = {**_MARK, "marker": "o", "markersize": 7, "color": "black", "markerfacecolor": "none"}
CROSS = {**_MARK, "marker": "x", "color": COLOURS[1], "markeredgewidth": 1.6}
WIDTH = 7.2  # Inches: a page of A4 between its margins.
SPARSITY_LABEL = "sparsity (%), on a logarithmic scale of what is left"
_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 5,
    "svg.fonttype": "none",
    "legend.frameon": False,
    "figure.labelsize": 8,
    "figure.constrained_layout.use": True,
}


def draw_figure(
    name: str, title: str, caption: str, height: float, draw: Callable[[Canvas], None]
) -> Figure:
    """Has `draw` fill a canvas as wide as the page and `height` inches high.

    The same content gives the same bytes.
    """
    svg, png = io.StringIO(), io.BytesIO()
    # A user's own matplotlibrc must not change a report.
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)  # type: ignore[arg-type]
        mpl.rcParams["svg.hashsalt"] = name
        canvas = Canvas(figsize=(WIDTH, height))
        draw(canvas)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        canvas.savefig(svg, format="svg", metadata=nothing)
        canvas.savefig(png, format="png", dpi=200, metadata={"Software": None})
    text = "\n".join(line.rstrip() for line in svg.getvalue().splitlines()) + "\n"
    return Figure(name, title, caption, text, png.getvalue())


def series_style(index: int) -> dict[str, Any]:
    """Colour and marker of the n-th series; markers, filled and then open, do without colours."""
    colour, again = COLOURS[index % len(COLOURS)], index // len(MARKERS) % 2
    fill = {"markerfacecolor": "white"} if again else {}
    return {"color": colour, "marker": MARKERS[index % len(MARKERS)], **fill}


def percent_ticks(axis: Any) -> None:
    """Writes shares on an axis as per cents."""
    axis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}"))


def sparsity_scale(axes: Axes, dense: float, sparse: float, ticks: Iterable[float]) -> None:
    """A logarithmic x axis from the density `dense` to `sparse`, whose ticks are sparsities."""
    ticks = [tick for tick in ticks if sparse <= 1 - tick <= dense]
    axes.set_xlim(dense, sparse)
    axes.set_xscale("log")
    axes.set_xticks([1 - t for t in ticks], [f"{100 * t:g}" for t in ticks])
    axes.set_xticks([], minor=True)


def marker_legend(canvas: Canvas, marks: Mapping[str, Mapping[str, Any]]) -> None:
    """Says above the drawing what its marks mean."""
    handles = [Line2D([], [], label=label, **mark) for label, mark in marks.items()]
    canvas.legend(handles=handles, loc="outside upper right", ncols=len(marks))


def draw_panels(
    canvas: Canvas, items: Sequence[_Item], columns: int, draw: Callable[[Axes, _Item], None]
) -> list[Axes]:
    """Draws each item on axes of its own, all of one scale; returns these."""
    rows = -(-len(items) // columns)
    grid = canvas.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
    panels: list[Axes] = list(grid[: len(items)])
    for axes, item in zip(panels, items, strict=True):
        draw(axes, item)
    for axes in grid[len(items) :]:
        axes.set_axis_off()
    return panels
