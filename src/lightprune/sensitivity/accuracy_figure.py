"""How accuracy falls with the sparsity of each layer alone, and what each is allocated."""

from functools import partial
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lightprune.rendering import plotting
from lightprune.rendering.document import Figure
from lightprune.sensitivity.accuracy_curve import Curve
from lightprune.sensitivity.analysis import SensitivityResult
from lightprune.sensitivity.scan import LayerScan

_COLUMNS = 4
_TICKS = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999)
_POINT: dict[str, Any] = {**plotting.OPEN_CIRCLE, "markersize": 4.5}
_CURVE: dict[str, Any] = {"color": plotting.COLOURS[0]}
_ALLOCATED: dict[str, Any] = {**plotting.CROSS, "markersize": 8, "markeredgewidth": 2}
_CAPTION = (
    "A panel for each layer: accuracy if it alone is pruned and batch norm is re-estimated, over "
    "its sparsity, on a logarithmic scale of what is left; nothing is left at the right edge. Open "
    "circles: measured. Line: the nearest curve that never rises, straight between measurements. "
    "Cross: what is allocated. Dashed: the network with that layer as it is."
)


def sensitivity_figure(result: SensitivityResult) -> Figure:
    """Small panels, in the network's order, on common axes."""

    def draw(canvas: Canvas) -> None:
        counts = [(z, curve.weights) for curve in result.curves for z in curve.zeros]
        edge = min(1 - zeros / weights for zeros, weights in counts if zeros < weights) / 1.6
        layers = [*zip(result.curves, result.scan.layers, strict=True)]
        panels = plotting.draw_panels(canvas, layers, _COLUMNS, partial(_panel, result, edge))
        plotting.sparsity_scale(panels[0], 1.3, edge, _TICKS)
        plotting.percent_ticks(panels[0].yaxis)
        canvas.supxlabel(f"layer {plotting.SPARSITY_LABEL}")
        canvas.supylabel("accuracy (%)")
        plotting.marker_legend(
            canvas, {"measured": _POINT, "monotone fit": _CURVE, "allocated": _ALLOCATED}
        )

    height = 0.8 + 1.15 * -(-len(result.curves) // _COLUMNS)
    return plotting.draw_figure("sensitivity", "Sensitivity of each layer", _CAPTION, height, draw)


def _panel(
    result: SensitivityResult, edge: float, axes: Axes, measured: tuple[Curve, LayerScan]
) -> None:
    (curve, layer), scan = measured, result.scan

    def density(zeros: int) -> float:
        return max(1 - zeros / curve.weights, edge)

    whole = scan.correct / scan.images
    axes.axhline(whole, color=plotting.GREY, linestyle="--", linewidth=0.8)
    # Straight in the number of zeros is bent on this scale.
    steps = [(n * (curve.zeros[-1] - curve.zeros[0]) // 200 + curve.zeros[0]) for n in range(201)]
    axes.plot([*map(density, steps)], [whole - curve.at(zeros) for zeros in steps], **_CURVE)
    xs = [density(point.zeros) for point in layer.points]
    ys = [point.correct / scan.images for point in layer.points]
    axes.plot(xs, ys, clip_on=False, **_POINT)
    allocated = result.allocation.zeros[curve.name]
    axes.plot(density(allocated), whole - curve.at(allocated), zorder=4, **_ALLOCATED)
    axes.set_title(fill(curve.name.removesuffix(".weight"), 28))
