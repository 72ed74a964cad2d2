"""What each layer keeps: nominal and live sparsity of every prunable parameter."""

from collections.abc import Iterator, Sequence
from functools import partial

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lightprune.pruning.cost.cost_report import LayerCost
from lightprune.rendering import plotting
from lightprune.rendering.document import Block
from lightprune.report.findings import Findings
from lightprune.report.groups import RunGroup

_TITLE = "Sparsity of each layer"
_COLUMNS = 3
_TICKS = (0.0, 0.9, 0.99, 0.999, 0.9999, 0.99999)
_CAPTION = (
    "Per layer, from the input at the top: nominal sparsity (open circle) and live sparsity "
    "(filled), on a logarithmic scale of what is left; where the two differ, the line between "
    "them is sparsity that costs nothing. A cross: nothing is left of the layer; an open "
    "circle alone: only weights that no input reaches. First seed of each configuration."
)


def per_layer_section(findings: Findings) -> Iterator[Block]:
    """A panel for the first seed of each pruned configuration, six a figure."""
    for suffix, groups in plotting.paginate(
        findings.pruned, 2 * _COLUMNS, lambda g: tuple(g.first.layers)
    ):
        count = len(groups[0].first.layers)
        height = 0.9 + (0.45 + 0.155 * count) * -(-len(groups) // _COLUMNS)
        yield plotting.draw_figure(
            f"layers{suffix}", _TITLE, _CAPTION, height, partial(_draw, groups)
        )


def _draw(groups: Sequence[RunGroup], canvas: Canvas) -> None:
    costs = [cost for group in groups for cost in group.first.layers.values()]
    edge = min(density for cost in costs for density in _densities(cost) if density > 0) / 4
    plotting.draw_panels(canvas, groups, _COLUMNS, partial(_panel, edge), sharex=True)
    canvas.supxlabel(plotting.SPARSITY_LABEL)
    plotting.marker_legend(
        canvas, {"nominal": plotting.OPEN_CIRCLE, "live": plotting.DOT, "emptied": plotting.CROSS}
    )


def _panel(edge: float, axes: Axes, group: RunGroup) -> None:
    """Layers downwards, what is left of them to the right, as far as `edge`."""
    for row, cost in enumerate(group.first.layers.values()):
        if not cost.nnz:
            place = axes.get_yaxis_transform()
            axes.plot(0.98, row, transform=place, clip_on=False, **plotting.CROSS)
            continue
        nominal, live = _densities(cost)
        if live > 0:
            axes.plot([nominal, live], [row, row], color=plotting.GREY, linewidth=1)
            axes.plot(live, row, zorder=3, **plotting.DOT)
        axes.plot(nominal, row, zorder=4, **plotting.OPEN_CIRCLE)
    names = [name.removesuffix(".weight") for name in group.first.layers]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    plotting.sparsity_scale(axes, 1.3, edge, _TICKS, most=5)
    axes.set_title(plotting.wrap_label(group.name))


def _densities(cost: LayerCost) -> tuple[float, float]:
    return 1 - cost.sparsity, 1 - cost.live_sparsity
