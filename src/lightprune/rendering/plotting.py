"""How every drawing looks and is saved: colours, markers, type, bytes that repeat."""

import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lightprune.rendering.document import Figure

_Item = TypeVar("_Item")

# Okabe and Ito's colours that stand out from white, without black, which marks published figures.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#777777")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#666666"
# Four marks that do without colours.
_MARK: dict[str, Any] = {"linestyle": "none"}
OPEN_CIRCLE = {**_MARK, "marker": "o", "markersize": 7, "color": "black", "markerfacecolor": "none"}
DOT = {**_MARK, "marker": "o", "color": COLOURS[0]}
CROSS = {**_MARK, "marker": "x", "color": COLOURS[1], "markeredgewidth": 1.6}
TRIANGLE = {**_MARK, "marker": "^", "color": COLOURS[2]}
WIDTH = 7.2  # Inches: a page of A4 between its margins.
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
    "figure.constrained_layout.use": True,
}


def draw_figure(
    name: str, title: str, caption: str, height: float, draw: Callable[[Canvas], None]
) -> Figure:
    """Draws a figure of the page's width, the same bytes for the same content.

    Args:
        name: Of the files.
        title: What it shows.
        caption: How to read it.
        height: In inches.
        draw: Draws on an empty canvas.
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


def log_ticks(axis: Any) -> None:
    """Plain numbers on an axis that has a logarithmic scale."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def marker_legend(canvas: Canvas, marks: Mapping[str, Mapping[str, Any]]) -> None:
    """Says above the drawing what its marks mean."""
    handles = [Line2D([], [], label=label, **mark) for label, mark in marks.items()]
    canvas.legend(handles=handles, loc="outside upper right", ncols=len(marks), frameon=False)


def panel_grid(canvas: Canvas, count: int, columns: int, **shared: Any) -> list[Axes]:
    """A grid of axes, of which those without content are taken away."""
    grid = canvas.subplots(-(-count // columns), columns, squeeze=False, **shared)
    axes = [axis for row in grid for axis in row]
    for axis in axes[count:]:
        axis.set_axis_off()
    return axes[:count]


def paginate(
    items: Sequence[_Item], size: int, alike: Callable[[_Item], object] = lambda item: None
) -> list[tuple[str, Sequence[_Item]]]:
    """Items in portions for one figure each, with what is added to its name: `-1`, `-2`.

    Args:
        items: What is shown.
        size: Most items of a figure.
        alike: Only items for which this is equal share a figure.
    """
    groups: dict[object, list[_Item]] = {}
    for item in items:
        groups.setdefault(alike(item), []).append(item)
    parts = [
        group[start : start + size]
        for group in groups.values()
        for start in range(0, len(group), size)
    ]
    return [(f"-{number}" if len(parts) > 1 else "", part) for number, part in enumerate(parts, 1)]


def wrap_label(name: str, width: int = 31) -> str:
    """A configuration's name in lines that fit over a panel; `22 + 8 epochs` stays in one."""
    whole = re.sub(r"(\d+) \+ (\d+) epochs", "\\1\u00a0+\u00a0\\2\u00a0epochs", name)
    return textwrap.fill(whole, width)
