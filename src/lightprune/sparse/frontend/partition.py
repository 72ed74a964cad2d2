"""Finds the regions of an exported network that the runtime can run: one value in, one out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

import torch
from torch import Tensor, fx

from lightprune.sparse.frontend.converters import TRACE_BATCH
from lightprune.sparse.frontend.fx_call import FxCall, UnsupportedOp, map_shape
from lightprune.sparse.frontend.trace import arguments_of, convert_call
from lightprune.sparse.ir.graph import INPUT, Graph
from lightprune.sparse.ir.ops import Conv, ConvTranspose, FullyConnected, Op, Shape
from lightprune.sparse.ir.pools import AdaptiveAvgPool

_ATEN = torch.ops.aten
# What treats the vectors along the last dimension alike, whatever dimensions are before it.
_TOKEN_WISE = {
    _ATEN.linear.default,
    _ATEN.relu.default,
    _ATEN.gelu.default,
    _ATEN.silu.default,
    _ATEN.add.Tensor,
    _ATEN.dropout.default,
    _ATEN.alias.default,
    _ATEN.clone.default,
    _ATEN.detach.default,
}


@dataclass(frozen=True)
class Region:
    """Operations of an exported network that compute one value from one other value.

    Attributes:
        entry: The node whose value they read.
        nodes: The operations, in an order in which they can run; the last one computes the result,
            and no other one is read outside of the region.
        graph: The same in the graph IR, for one image or one token.
        tokens: Whether each vector along the last dimension of the values is a token of its own.
    """

    entry: fx.Node
    nodes: tuple[fx.Node, ...]
    graph: Graph
    tokens: bool


@dataclass(frozen=True)
class _Call(FxCall):
    """A call in a network that may take any batch size."""

    batch: int
    tokens: bool

    def torch_shape(self, argument: fx.Node | None = None) -> tuple[int, ...]:
        """As in a network for `TRACE_BATCH` images, or as many tokens."""
        value = (argument or self.node).meta["val"]
        size = sizes(value[0] if isinstance(value, tuple | list) else value)
        if self.tokens:
            return (TRACE_BATCH, size[-1])
        return (TRACE_BATCH, *size[1:]) if size[:1] == (self.batch,) else size


def sizes(value: Tensor) -> tuple[int, ...]:
    """The shape of a traced value, with the traced example's number for a free dimension."""
    return tuple(d.node.hint if isinstance(d, torch.SymInt) else d for d in value.shape)


def find_regions(exported: fx.GraphModule, batch: int) -> list[Region]:
    """Splits a network into regions for the runtime and the rest, from the inputs on.

    A region grows from a value over all operations with a converter that are computed from that
    value alone, and ends at the result behind which most multiplications lie. The network is as of
    `export_module`; `batch` is its batch size, the hint if any is taken.
    """
    nodes = list(exported.graph.nodes)
    taken: set[fx.Node] = set()
    regions = []
    for place, entry in enumerate(nodes):
        while _is_images(entry) and not taken.issuperset(entry.users):
            following = [node for node in nodes[place + 1 :] if node not in taken]
            by_kind = (_region(entry, following, batch, tokens) for tokens in (False, True))
            region = next(filter(None, by_kind), None)
            if region is None:
                break
            regions.append(region)
            taken.update(region.nodes)
    return regions


def _is_images(node: fx.Node) -> bool:
    value = node.meta.get("val")
    is_tensor = isinstance(value, Tensor) and value.dtype is torch.float32 and value.dim() > 1
    return is_tensor and node.op in ("placeholder", "call_function")


def _region(
    entry: fx.Node, following: Sequence[fx.Node], batch: int, tokens: bool
) -> Region | None:
    """The region with most multiplications that reads this value, None if none has weights."""
    first, *rest = sizes(entry.meta["val"])
    shape = (rest[-1], 1, 1) if tokens else map_shape(rest) if first == batch else None
    if shape is None:
        return None
    values, ops, shapes = _grow(entry, following, shape, partial(_Call, batch=batch, tokens=tokens))
    macs = {op.name: _macs(op, shapes) for op in ops}
    best: tuple[fx.Node, ...] = ()
    most = 0
    for node in values:
        inner = _computed_by(node, values)
        count = sum(macs.get(name, 0) for name in {values[n] for n in inner})
        if count >= max(most, 1) and all(set(n.users) <= {*inner} for n in inner if n is not node):
            best, most = inner, count
    if not best:
        return None
    names = {values[node] for node in best}
    flat = tokens or best[-1].meta["val"].dim() == 2
    graph = Graph(tuple(op for op in ops if op.name in names), shape, values[best[-1]], flat)
    return Region(entry, best, graph, tokens)


def _grow(
    entry: fx.Node, following: Sequence[fx.Node], shape: Shape, call_of: Callable[..., _Call]
) -> tuple[dict[fx.Node, str], list[Op], dict[str, Shape]]:
    """The values that converters compute from the entry's alone, the operations, the shapes."""
    values, shapes = {entry: INPUT}, {INPUT: shape}
    ops: list[Op] = []
    for node in following:
        inputs = node.all_input_nodes
        if node.op != "call_function" or values.keys().isdisjoint(inputs):
            continue
        stored = {n.name: str(n.target) for n in inputs if n.op == "get_attr"}
        call = call_of(node, arguments_of(node), values, stored, shapes)
        count = len(ops)
        try:
            if call.tokens and not _is_token_wise(node, entry):
                raise UnsupportedOp("it mixes tokens")
            values[node] = convert_call(call, ops, shapes)
            if any(isinstance(op, AdaptiveAvgPool) for op in ops[count:]):
                raise UnsupportedOp("its windows are of uneven extent")
        except (UnsupportedOp, ValueError):
            values.pop(node, None)
            for op in ops[count:]:
                shapes.pop(op.name, None)
            del ops[count:]
    return values, ops, shapes


def _is_token_wise(node: fx.Node, entry: fx.Node) -> bool:
    value, first = node.meta.get("val"), entry.meta["val"]
    return (
        node.target in _TOKEN_WISE
        and isinstance(value, Tensor)
        and sizes(value)[:-1] == sizes(first)[:-1]
    )


def _macs(op: Op, shapes: Mapping[str, Shape]) -> int:
    """Multiplications of one image, zero weights included."""
    channels, *_ = shapes[op.inputs[0]]
    if isinstance(op, ConvTranspose):
        return prod(shapes[op.inputs[0]]) * op.channels // op.groups * prod(op.kernel)
    if isinstance(op, Conv):
        return prod(shapes[op.name]) * channels // op.groups * prod(op.kernel)
    return channels * op.features if isinstance(op, FullyConnected) else 0


def _computed_by(node: fx.Node, values: Mapping[fx.Node, str]) -> tuple[fx.Node, ...]:
    """The nodes among `values` that a node's value is computed by, itself the last; no entry."""
    inner, waiting = set[fx.Node](), [node]
    while waiting:
        last = waiting.pop()
        if last in values and values[last] != INPUT and last not in inner:
            inner.add(last)
            waiting += last.all_input_nodes
    return tuple(n for n in values if n in inner)
