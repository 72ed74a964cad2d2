"""Rewrites an exported graph: any strides fit, channels are split and shuffled by one operator."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import fx

_ATEN = torch.ops.aten
_SPLITS = (_ATEN.split.Tensor, _ATEN.split_with_sizes.default, _ATEN.chunk.default)
_VIEWS = (_ATEN.view.default, _ATEN._unsafe_view.default)
_RESHAPE = _ATEN.reshape.default


def simplify_channel_ops(graph: fx.Graph) -> None:
    """Turns each part of a split into a slice, and the reshapes of a shuffle into one operator.

    The values stay the same; what nothing reads any more is removed. Views become reshapes: they
    fit the strides of the example, which neither inputs nor results of the runtime need have.
    """
    for node in graph.nodes:
        if node.target in _VIEWS:
            node.target = _RESHAPE
    for node in list(graph.nodes):
        replacement = _as_slice(node) or _as_shuffle(node)
        if replacement is None:
            continue
        with graph.inserting_before(node):
            call = graph.call_function(*replacement)
        call.meta = dict(node.meta)
        node.replace_all_uses_with(call)
    graph.eliminate_dead_code()


_Call = tuple[Any, tuple[Any, ...]]


def _as_slice(node: fx.Node) -> _Call | None:
    source = node.args[0] if node.args else None
    if not isinstance(source, fx.Node) or source.target not in _SPLITS or "val" not in node.meta:
        return None
    tensor, _, *dims = source.args
    dim = dims[0] if dims else 0
    index = node.args[1]
    sizes = [part.shape[dim] for part in source.meta["val"]]
    if not isinstance(index, int) or not all(isinstance(size, int) for size in sizes):
        return None
    end = list(accumulate(sizes))[index]
    return _ATEN.slice.Tensor, (tensor, dim, end - sizes[index], end)


def _as_shuffle(node: fx.Node) -> _Call | None:
    """(N, groups, C / groups, H, W) with the middle dimensions swapped, as (N, C, H, W) again."""
    swap = _source(node, (_RESHAPE,))
    if swap is not None and swap.target is _ATEN.clone.default:
        swap = _source(swap, (_ATEN.clone.default,))
    split = None if swap is None else _source(swap, (_ATEN.transpose.int, _ATEN.permute.default))
    source = None if split is None else _source(split, (_RESHAPE,))
    if swap is None or split is None or source is None:
        return None
    before, middle, after = (_shape(n) for n in (source, split, node))
    swapped = swap.args[1:] in ((1, 2), (2, 1)) or swap.args[1] == [0, 2, 1, 3, 4]
    if not swapped or len(middle) != 5 or len(before) != 4 or before[1:] != after[1:]:
        return None
    if middle[1] * middle[2] != before[1] or middle[3:] != before[2:]:
        return None  # Of rows or images.
    return _ATEN.channel_shuffle.default, (source, middle[1])


def _source(node: fx.Node, targets: Sequence[Any]) -> fx.Node | None:
    """What a call of one of these operators reads."""
    if node.target not in targets or not isinstance(node.args[0], fx.Node):
        return None
    return node.args[0]


def _shape(node: fx.Node) -> tuple[Any, ...]:
    return tuple(node.meta["val"].shape)
