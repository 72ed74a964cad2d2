"""How accuracy falls with the sparsity of each layer alone, and what each is allocated."""

from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from lightprune.rendering.document import Figure
from lightprune.rendering.plotting import COLOURS, GREY, draw_figure
from lightprune.sensitivity.accuracy_curve import Curve
from lightprune.sensitivity.analysis import SensitivityResult
from lightprune.sensitivity.scan import LayerScan

_COLUMNS = 4
_TICKS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)
_CURVE: dict[str, Any] = {"color": COLOURS[0]}
# Marks that do without colours.
_POINT: dict[str, Any] = {
    "linestyle": "none",
    "marker": "o",
    "markersize": 4.5,
    "color": "black",
    "markerfacecolor": "none",
}
_ALLOCATED: dict[str, Any] = {
    "linestyle": "none",
    "marker": "x",
    "markersize": 8,
    "color": COLOURS[1],
    "markeredgewidth": 2,
}
_CAPTION = (
    "A panel for each layer: accuracy if it alone is pruned and batch norm is re-estimated, over "
    "its sparsity, on a logarithmic scale of what is left; nothing is left at the right edge. Open "
    "circles: measured. Line: the nearest curve that never rises, straight between measurements. "
    "Cross: what is allocated. Dashed: the network with that layer as it is."
)


def sensitivity_figure(result: SensitivityResult) -> Figure:
    """Small panels, in the network's order, on common axes."""
    rows = -(-len(result.curves) // _COLUMNS)

    def draw(canvas: Canvas) -> None:
        counts = [(z, curve.weights) for curve in result.curves for z in curve.zeros]
        edge = min(1 - zeros / weights for zeros, weights in counts if zeros < weights) / 1.6
        panels = canvas.subplots(rows, _COLUMNS, squeeze=False, sharex=True, sharey=True).flatten()
        for axes, curve, layer in zip(panels, result.curves, result.scan.layers, strict=False):
            _panel(result, edge, axes, curve, layer)
        for axes in panels[len(result.curves) :]:
            axes.set_axis_off()
        ticks = [tick for tick in _TICKS if edge <= 1 - tick]
        first = panels[0]
        first.set_xlim(1.3, edge)
        first.set_xscale("log")
        first.set_xticks([1 - tick for tick in ticks], [f"{100 * tick:g}" for tick in ticks])
        first.set_xticks([], minor=True)
        first.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}"))
        canvas.supxlabel("layer sparsity (%), on a logarithmic scale of what is left")
        canvas.supylabel("accuracy (%)")
        marks = {"measured": _POINT, "monotone fit": _CURVE, "allocated": _ALLOCATED}
        handles = [Line2D([], [], label=label, **mark) for label, mark in marks.items()]
        canvas.legend(handles=handles, loc="outside upper right", ncols=len(marks))

    title = "Sensitivity of each layer"
    return draw_figure("sensitivity", title, _CAPTION, 0.8 + 1.15 * rows, draw)


def _panel(
    result: SensitivityResult, edge: float, axes: Axes, curve: Curve, layer: LayerScan
) -> None:
    scan = result.scan

    def density(zeros: int) -> float:
        return max(1 - zeros / curve.weights, edge)

    whole = scan.correct / scan.images
    axes.axhline(whole, color=GREY, linestyle="--", linewidth=0.8)
    # Straight in the number of zeros is bent on this scale.
    steps = [(n * (curve.zeros[-1] - curve.zeros[0]) // 200 + curve.zeros[0]) for n in range(201)]
    axes.plot([*map(density, steps)], [whole - curve.at(zeros) for zeros in steps], **_CURVE)
    xs = [density(point.zeros) for point in layer.points]
    ys = [point.correct / scan.images for point in layer.points]
    axes.plot(xs, ys, clip_on=False, **_POINT)
    allocated = result.allocation.zeros[curve.name]
    axes.plot(density(allocated), whole - curve.at(allocated), zorder=4, **_ALLOCATED)
    axes.set_title(fill(curve.name.removesuffix(".weight"), 28))
