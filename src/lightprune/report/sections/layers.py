"""What each layer keeps: live sparsity of every prunable parameter, as one heat map."""

import math
from collections.abc import Iterator

from lightprune.pruning.cost.cost_report import LayerCost
from lightprune.rendering.document import Block
from lightprune.rendering.heat_map import heat_map
from lightprune.rendering.svg import chart_figure
from lightprune.report.findings import Findings
from lightprune.report.groups import RunGroup

_CAPTION = (
    "Live sparsity (%) of each layer, from the input at the left; the darker, the less is left. "
    "×: nothing is left of the layer; –: no input reaches it. First seed of each configuration."
)
# What is left of a layer at the darkest.
_LEAST = 1e-4


def layers_section(findings: Findings) -> Iterator[Block]:
    """One heat map for the networks of equal layers."""
    networks: dict[tuple[str, ...], list[RunGroup]] = {}
    for group in findings.pruned:
        networks.setdefault(tuple(group.first.layers), []).append(group)
    for number, (layers, groups) in enumerate(networks.items(), 1):
        suffix = f"-{number}" if len(networks) > 1 else ""
        rows = [(g.name, [_cell(cost) for cost in g.first.layers.values()]) for g in groups]
        title = "Live sparsity of each layer"
        svg = heat_map(title, [name.removesuffix(".weight") for name in layers], rows)
        yield chart_figure(f"layers{suffix}", title, _CAPTION, svg)


def _cell(cost: LayerCost) -> tuple[float, str]:
    if not cost.live:
        return 0.0, "–"
    if not cost.nnz:
        return -1.0, "×"
    left = 1 - cost.live_sparsity
    shade = math.log(max(left, _LEAST)) / math.log(_LEAST)
    # Rounded down: only a layer that is empty has 100.
    return shade, f"{math.floor(round(1000 * cost.live_sparsity, 6)) / 10:g}"
