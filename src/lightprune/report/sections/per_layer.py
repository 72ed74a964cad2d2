"""What each layer keeps: nominal and live sparsity of every prunable parameter."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lightprune.pruning.cost.report import LayerCost
from lightprune.rendering.document import Section
from lightprune.rendering.plotting import (
    CROSS,
    DOT,
    GREY,
    OPEN_CIRCLE,
    draw_figure,
    marker_legend,
    paginate,
    panel_grid,
    wrap_label,
)
from lightprune.report.findings import Findings
from lightprune.report.groups import RunGroup

_COLUMNS = 3
_TICKS = (0.0, 0.9, 0.99, 0.999, 0.9999, 0.99999)


def per_layer_section(findings: Findings) -> Section:
    """A panel for the first seed of each pruned configuration, six a figure."""
    caption = (
        "Per layer, from the input at the top: nominal sparsity (open circle) and live sparsity "
        "(filled), on a logarithmic scale of what is left; where the two differ, the line between "
        "them is sparsity that costs nothing. A cross: nothing is left of the layer; an open "
        "circle alone: only weights that no input reaches. First seed of each configuration."
    )
    title, found = "Sparsity of each layer", []
    for suffix, chosen in paginate(findings.pruned, 2 * _COLUMNS, lambda c: tuple(c.first.layers)):

        def draw(canvas: Canvas, chosen: Sequence[RunGroup] = chosen) -> None:
            kept = [cost for group in chosen for cost in group.first.layers.values()]
            edge = min(share for cost in kept for share in _left(cost) if share > 0) / 4
            grid = panel_grid(canvas, len(chosen), _COLUMNS, sharey=True, sharex=True)
            for axes, group in zip(grid, chosen, strict=True):
                _panel(axes, group, edge)
            canvas.supxlabel("sparsity (%), on a logarithmic scale of what is left", fontsize=8)
            marker_legend(canvas, {"nominal": OPEN_CIRCLE, "live": DOT, "emptied": CROSS})

        count = len(chosen[0].first.layers)
        height = 0.9 + (0.45 + 0.155 * count) * -(-len(chosen) // _COLUMNS)
        found.append(draw_figure(f"layers{suffix}", title, caption, height, draw))
    return Section(title, tuple(found))


def _panel(axes: Axes, group: RunGroup, edge: float) -> None:
    """Layers downwards, what is left of them to the right, as far as `edge`."""
    for row, cost in enumerate(group.first.layers.values()):
        if not cost.nnz:
            place = axes.get_yaxis_transform()
            axes.plot(0.98, row, transform=place, clip_on=False, **CROSS)
            continue
        nominal, live = _left(cost)
        if live > 0:
            axes.plot([nominal, live], [row, row], color=GREY, linewidth=1)
            axes.plot(live, row, zorder=3, **DOT)
        axes.plot(nominal, row, zorder=4, **OPEN_CIRCLE)
    names = [name.removesuffix(".weight") for name in group.first.layers]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.set_xlim(1.3, edge)
    ticks = [tick for tick in _TICKS if 1 - tick >= edge]
    # More than five would write over each other.
    named = ticks[:: 2 if len(ticks) > 5 else 1]
    axes.set_xticks([1 - t for t in ticks], [f"{100 * t:g}" if t in named else "" for t in ticks])
    axes.set_xticks([], minor=True)
    axes.set_title(wrap_label(group.name))


def _left(cost: LayerCost) -> tuple[float, float]:
    return 1 - cost.sparsity, 1 - cost.live_sparsity
