"""How accuracy falls with the sparsity of each layer alone, and what each is allocated."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lightprune.rendering.document import Figure
from lightprune.rendering.plotting import (
    COLOURS,
    CROSS,
    GREY,
    OPEN_CIRCLE,
    draw_figure,
    marker_legend,
    panel_grid,
    percent_ticks,
    wrap_label,
)
from lightprune.sensitivity.accuracy_curve import Curve
from lightprune.sensitivity.analysis import SensitivityResult
from lightprune.sensitivity.scan import LayerScan

_COLUMNS = 4
_TICKS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)
_POINT: dict[str, Any] = {**OPEN_CIRCLE, "markersize": 4.5}
_CURVE: dict[str, Any] = {"color": COLOURS[0], "linewidth": 1.2}
_ALLOCATED: dict[str, Any] = {**CROSS, "markersize": 8, "markeredgewidth": 2}
_CAPTION = (
    "A panel for each layer: accuracy if it alone is pruned and batch norm is re-estimated, over "
    "its sparsity, on a logarithmic scale of what is left; nothing is left at the right edge. Open "
    "circles: measured. Line: the nearest curve that never rises, straight between measurements. "
    "Cross: what is allocated. Dashed: the network with that layer as it is."
)


def sensitivity_figure(result: SensitivityResult) -> Figure:
    """Small panels, in the network's order, on common axes."""
    count = len(result.curves)

    def draw(canvas: Canvas) -> None:
        grid = panel_grid(canvas, count, _COLUMNS, sharex=True, sharey=True)
        counts = [(z, curve.weights) for curve in result.curves for z in curve.zeros]
        edge = min(1 - zeros / weights for zeros, weights in counts if zeros < weights) / 1.6
        for axes, curve, layer in zip(grid, result.curves, result.scan.layers, strict=True):
            _panel(axes, result, curve, layer, edge)
        grid[0].set_xscale("log")
        grid[0].set_xlim(1.3, edge)
        ticks = [tick for tick in _TICKS if 1 - tick >= edge]
        grid[0].set_xticks([1 - tick for tick in ticks], [f"{100 * tick:g}" for tick in ticks])
        grid[0].set_xticks([], minor=True)
        percent_ticks(grid[0].yaxis)
        canvas.supxlabel(
            "sparsity of the layer (%), on a logarithmic scale of what is left", fontsize=8
        )
        canvas.supylabel("accuracy (%)", fontsize=8)
        marker_legend(canvas, {"measured": _POINT, "monotone fit": _CURVE, "allocated": _ALLOCATED})

    height = 0.8 + 1.15 * -(-count // _COLUMNS)
    return draw_figure("sensitivity", "Sensitivity of each layer", _CAPTION, height, draw)


def _panel(
    axes: Axes, result: SensitivityResult, curve: Curve, layer: LayerScan, edge: float
) -> None:
    def density(zeros: int) -> float:
        return max(1 - zeros / curve.weights, edge)

    scan = result.scan
    whole = scan.correct / scan.images
    axes.axhline(whole, color=GREY, linestyle="--", linewidth=0.8)
    # Straight in the number of zeros is bent on this scale.
    steps = [(n * (curve.zeros[-1] - curve.zeros[0]) // 200 + curve.zeros[0]) for n in range(201)]
    axes.plot(
        [density(zeros) for zeros in steps],
        [whole - curve.at(zeros) for zeros in steps],
        **_CURVE,
    )
    axes.plot(
        [density(point.zeros) for point in layer.points],
        [point.correct / scan.images for point in layer.points],
        clip_on=False,
        **_POINT,
    )
    allocated = result.allocation.zeros[curve.name]
    axes.plot(density(allocated), whole - curve.at(allocated), zorder=4, **_ALLOCATED)
    axes.set_title(wrap_label(curve.name.removesuffix(".weight"), 28))
