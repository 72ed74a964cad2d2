"""Which layers of a compiled module run where: their weights, multiplications and time."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, fx

from lightprune.sparse.frontend.fx_call import module_name
from lightprune.sparse.frontend.partition import sizes
from lightprune.sparse.frontend.trace import arguments_of
from lightprune.sparse.ir.listing import listing

_ATEN = torch.ops.aten
_TRANSPOSED = {
    *(_ATEN.conv_transpose1d.default, _ATEN.conv_transpose2d.input, _ATEN.conv_transpose3d.input)
}
_LAYERS = {
    *_TRANSPOSED,
    *(_ATEN.conv1d.default, _ATEN.conv2d.default, _ATEN.conv3d.default),
    *(_ATEN.conv1d.padding, _ATEN.conv2d.padding, _ATEN.conv3d.padding, _ATEN.linear.default),
}


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer of a compiled module.

    Attributes:
        name: Of the module that calls it.
        region: The region of the runtime that runs it; None for torch.
        node: The call that runs it, of the region or of torch's operation.
        weights: How many there are.
        macs: Multiplications for one image, zero weights included.
    """

    name: str
    region: str | None
    node: str
    nonzero: int
    weights: int
    macs: int

    @property
    def macs_left(self) -> int:
        """Multiplications by weights that are not zero; each weight multiplies equally often."""
        return self.macs * self.nonzero // self.weights


def find_layers(exported: fx.GraphModule, regions: Mapping[fx.Node, str]) -> tuple[Layer, ...]:
    """The layers with stored weights, in the order in which they run.

    The network is as of `export_module`; `regions` names those that the runtime runs, by each of
    their nodes.
    """
    layers = []
    for node in exported.graph.nodes:
        weight = arguments_of(node)["weight"] if node.target in _LAYERS else None
        if weight is not None and weight.op == "get_attr":
            tensor: Tensor = fx.graph_module._get_attr(exported, str(weight.target))
            # What each weight of one of the first dimension's meets.
            pixels = node.args[0] if node.target in _TRANSPOSED else node
            layers.append(
                Layer(
                    name=module_name(node) or str(weight.target),
                    region=regions.get(node),
                    node=regions.get(node, node.name),
                    nonzero=int(tensor.count_nonzero()),
                    weights=tensor.numel(),
                    macs=prod(sizes(pixels.meta["val"])[1:]) * tensor[0].numel(),
                )
            )
    return tuple(layers)


def layer_table(
    layers: Iterable[Layer], speedups: Mapping[str, float], seconds: Mapping[str, float]
) -> str:
    """One line a layer, and a title that says how much of the network the runtime runs.

    Regions have lines of their own where something was measured: `speedups` over torch by region,
    and `seconds` of each call of the network by its node, both empty if there was no measurement.
    """
    layers = tuple(layers)
    regions: dict[str, list[Layer]] = {}
    for layer in layers:
        if layer.region:
            regions.setdefault(layer.region, []).append(layer)
    macs = sum(layer.macs for layer in layers)
    in_runtime = sum(layer.macs for layer in layers if layer.region)
    title = (
        f"{len(regions)} region{'s run' if len(regions) != 1 else ' runs'} in the sparse runtime: "
        f"{in_runtime / max(macs, 1):.1%} of the network's {macs / 1e6:,.1f} M dense MACs, of "
        f"which {sum(layer.macs_left for layer in layers) / 1e6:,.1f} M are left"
    )
    head = ["layer", "runs in", "nonzero", "dense weights", "dense M MACs", "M MACs left"]
    rows = [[*head, *["speed-up over torch"] * bool(speedups), *["time"] * bool(seconds)]]
    groups = [(layer.name, layer.region or "torch", [layer]) for layer in layers]
    if speedups or seconds:
        groups += [(name, "runtime", members) for name, members in regions.items()]
    for name, place, members in groups:
        weights = sum(layer.weights for layer in members)
        row = [
            name,
            place,
            f"{sum(layer.nonzero for layer in members) / weights:.1%}",
            f"{weights:,}",
            f"{sum(layer.macs for layer in members) / 1e6:,.1f}",
            f"{sum(layer.macs_left for layer in members) / 1e6:,.1f}",
        ]
        if speedups:
            row.append(f"{speedups[name]:.1f}x" if place == "runtime" else "")
        if seconds and place in ("runtime", "torch"):
            row.append(f"{seconds.get(members[0].node, 0) / sum(seconds.values()):.1%}")
        rows.append(row)
    return listing(title, rows)
