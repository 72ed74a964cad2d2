"""How every drawing looks and is saved: colours, markers, type, bytes that repeat."""

import io
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from lightprune.rendering.document import Figure

# Okabe and Ito's colours that stand out from white, without black, which marks published figures.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#777777")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#666666"
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
