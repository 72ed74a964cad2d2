"""What each layer keeps: nominal and live sparsity of every prunable parameter."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D

from lightprune.pruning.cost import LayerCost
from lightprune.report.cells import Cell
from lightprune.report.document import Section
from lightprune.report.drawing import COLOURS, GREY, drawn, pages, panels, wrapped
from lightprune.report.findings import Findings

_COLUMNS = 3
_TICKS = (0.0, 0.9, 0.99, 0.999, 0.9999, 0.99999)
_FLOOR = 1e-6


def layers(findings: Findings) -> Section:
    """A panel for the first seed of each pruned cell, six a figure."""
    caption = (
        "Per layer, from the input at the top: nominal sparsity (open circle) and live sparsity "
        "(filled), on a logarithmic scale of what is left; where the two differ, the line between "
        "them is sparsity that costs nothing. A cross: nothing is left of the layer. First seed "
        "of each cell."
    )
    title, found = "Sparsity of each layer", []
    for suffix, chosen in pages(findings.pruned, 2 * _COLUMNS, lambda c: tuple(c.first.layers)):

        def draw(canvas: Canvas, chosen: Sequence[Cell] = chosen) -> None:
            with panels(canvas, len(chosen), _COLUMNS, sharey=True, sharex=True) as axes:
                for axis, cell in zip(axes, chosen, strict=True):
                    _panel(axis, cell)
            canvas.supxlabel("sparsity (%), on a logarithmic scale of what is left", fontsize=8)
            canvas.legend(
                handles=[
                    _key("nominal", markerfacecolor="white", markeredgecolor="black"),
                    _key("live", markerfacecolor=COLOURS[0], markeredgecolor=COLOURS[0]),
                    _key("emptied", marker="x", markeredgecolor=COLOURS[1]),
                ],
                loc="outside upper right",
                ncols=3,
                frameon=False,
            )

        count = len(chosen[0].first.layers)
        height = 0.9 + (0.45 + 0.155 * count) * -(-len(chosen) // _COLUMNS)
        found.append(drawn(f"layers{suffix}", title, caption, height, draw))
    return Section(title, tuple(found))


def _key(label: str, marker: str = "o", **colours: Any) -> Line2D:
    return Line2D([], [], linestyle="none", marker=marker, label=label, **colours)


def _panel(axes: Axes, cell: Cell) -> None:
    costs = cell.first.layers
    for row, cost in enumerate(costs.values()):
        _layer(axes, row, cost)
    names = [name.removesuffix(".weight") for name in costs]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xscale("log")
    lowest = min(
        (share for cell_cost in costs.values() for share in _left(cell_cost) if share > 0),
        default=_FLOOR,
    )
    # Panels share their axis: the sparsest one decides.
    edge = min(axes.get_xlim()[1], max(_FLOOR, lowest / 4))
    axes.set_xlim(1.3, edge)
    ticks = [tick for tick in _TICKS if 1 - tick >= edge]
    axes.set_xticks([1 - t for t in ticks], [f"{100 * t:g}" for t in ticks])
    axes.set_xticks([], minor=True)
    axes.set_title(wrapped(cell.name))


def _left(cost: LayerCost) -> tuple[float, float]:
    return 1 - cost.sparsity, 1 - cost.live_sparsity


def _layer(axes: Axes, row: int, cost: LayerCost) -> None:
    if not cost.nnz:
        axes.plot(
            0.98, row, "x", color=COLOURS[1], transform=axes.get_yaxis_transform(), clip_on=False
        )
        return
    nominal, live = _left(cost)
    if live > 0:
        axes.plot([nominal, live], [row, row], color=GREY, linewidth=1)
        axes.plot(live, row, "o", color=COLOURS[0], zorder=3)
    axes.plot(
        nominal, row, "o", markersize=7, markerfacecolor="none", markeredgecolor="black", zorder=4
    )
