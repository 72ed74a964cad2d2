"""What each operator of torch becomes in the graph: one small function an operator, one table."""

import operator
from collections.abc import Callable
from typing import Any

import torch

from lightprune.sparse.frontend.fx_call import Call, UnsupportedOp
from lightprune.sparse.ir.ops import (
    AdaptiveAvgPool,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    Linear,
    MaxPool,
    Op,
    Relu,
)

# The number of images traced with: two, so that a shape that depends on it is told from others.
BATCH = 2


def _conv(call: Call) -> Op:
    """A convolution; padding given as a word becomes numbers."""
    _, _, *kernel = call.extent(call.arguments["weight"])
    rows, columns = call.pair("dilation")
    padding = call.arguments["padding"]
    if isinstance(padding, str):
        spans = ((kernel[0] - 1) * rows, (kernel[1] - 1) * columns)
        half = [(span // 2, span - span // 2) if padding == "same" else (0, 0) for span in spans]
    else:
        half = [(pad, pad) for pad in call.pair("padding")]
    return Conv(
        name=call.node.name,
        inputs=(call.value(call.arguments["input"]),),
        weight=call.needed("weight"),
        bias=call.tensor("bias"),
        channels=call.extent()[1],
        kernel=(kernel[0], kernel[1]),
        stride=call.pair("stride"),
        padding=(half[0], half[1]),
        dilation=(rows, columns),
        groups=call.arguments["groups"],
    )


def _linear(call: Call) -> Op:
    """A fully connected layer on features, not on the last axis of a map."""
    source = call.value(call.arguments["input"])
    if len(call.extent()) != 2:
        raise UnsupportedOp("it is applied to a map; supported is one on (N, C)")
    weight, bias = call.needed("weight"), call.tensor("bias")
    return Linear(call.node.name, (source,), weight, bias, call.extent()[1])


def _batch_norm(call: Call) -> Op:
    """Batch norm with running statistics, all that evaluation mode leaves of it."""
    return BatchNorm(
        name=call.node.name,
        inputs=(call.value(call.arguments["input"]),),
        weight=call.tensor("weight"),
        bias=call.tensor("bias"),
        mean=call.needed("running_mean"),
        variance=call.needed("running_var"),
        eps=float(call.arguments["eps"]),
    )


def _relu(call: Call) -> Op:
    """ReLU; in-place ones are ordinary by now."""
    return Relu(call.node.name, (call.value(call.arguments["self"]),))


def _add(call: Call) -> Op:
    """The sum of two computed values."""
    if call.arguments["alpha"] != 1:
        raise UnsupportedOp(f"alpha={call.arguments['alpha']}")
    summands = (call.arguments["self"], call.arguments["other"])
    return Add(call.node.name, tuple(call.value(summand) for summand in summands))


def _pool(call: Call) -> Op:
    """Max or average pooling."""
    source = call.value(call.arguments["self"])
    kernel = call.pair("kernel_size")
    stride, padding = call.pair("stride", kernel), call.pair("padding")
    if call.arguments["ceil_mode"]:
        raise UnsupportedOp("ceil_mode=True")
    if call.arguments.get("divisor_override") is not None:
        raise UnsupportedOp("a divisor_override")
    if "dilation" not in call.arguments:
        counted = bool(call.arguments["count_include_pad"])
        return AvgPool(call.node.name, (source,), kernel, stride, padding, counted)
    if call.pair("dilation") != (1, 1):
        raise UnsupportedOp("a dilation")
    return MaxPool(call.node.name, (source,), kernel, stride, padding)


def _adaptive(call: Call) -> Op:
    """Adaptive pooling: plain windows wherever the sizes allow it."""
    source = call.value(call.arguments["self"])
    (_, *size), wanted = call.shapes[source], call.pair("output_size")
    pairs = list(zip(size, wanted, strict=True))
    if all(n % out == 0 for n, out in pairs):
        window = (size[0] // wanted[0], size[1] // wanted[1])
        return AvgPool(call.node.name, (source,), window, window, (0, 0), True)
    return AdaptiveAvgPool(call.node.name, (source,), wanted)


def _mean(call: Call) -> Op:
    """The mean over the whole map."""
    source, dims = call.value(call.arguments["self"]), call.arguments["dim"] or []
    if len(call.extent(call.arguments["self"])) != 4 or {d % 4 for d in dims} != {2, 3}:
        raise UnsupportedOp(
            f"a mean over dimensions {dims}; supported is one over height and width"
        )
    _, *size = call.shapes[source]
    window = (size[0], size[1])
    return AvgPool(call.node.name, (source,), window, window, (0, 0), True)


def _reshape(call: Call) -> Op | str:
    """Any reshape that keeps a value or flattens it."""
    source = call.value(call.arguments["self"])
    images, *rest = call.extent()
    target = (*rest, 1, 1)[:3] if len(rest) in (1, 3) else None
    if images == BATCH and target == call.shapes[source]:
        return source
    if images == BATCH and len(rest) == 1:
        return Flatten(call.node.name, (source,))
    raise UnsupportedOp(f"a reshape to {(images, *rest)}; supported is one to (N, features)")


def _concat(call: Call) -> Op:
    """Concatenation along the channels."""
    if call.arguments["dim"] % len(call.extent()) != 1:
        raise UnsupportedOp(f"along dimension {call.arguments['dim']}; supported is along channels")
    return Concat(call.node.name, tuple(call.value(t) for t in call.arguments["tensors"]))


def _same(call: Call) -> str:
    """What gives its input back."""
    if call.arguments.get("train"):
        raise UnsupportedOp("it drops features in evaluation mode too")
    return call.value(call.arguments.get("self", call.arguments.get("input")))


def _first(call: Call) -> str:
    """The one result that is used of an operator with several."""
    source, index = call.node.args
    if index != 0:
        raise UnsupportedOp(f"result {index} of it is used")
    return call.value(source)


_ATEN = torch.ops.aten
# A new operation: a node in nodes.py, a function above, and a line here.
CONVERTERS: dict[Any, Callable[[Call], Op | str]] = {
    _ATEN.conv2d.default: _conv,
    _ATEN.conv2d.padding: _conv,
    _ATEN.linear.default: _linear,
    _ATEN._native_batch_norm_legit_no_training.default: _batch_norm,
    operator.getitem: _first,
    _ATEN.relu.default: _relu,
    _ATEN.add.Tensor: _add,
    _ATEN.max_pool2d.default: _pool,
    _ATEN.avg_pool2d.default: _pool,
    _ATEN.adaptive_avg_pool2d.default: _adaptive,
    _ATEN.mean.dim: _mean,
    _ATEN.view.default: _reshape,
    _ATEN.reshape.default: _reshape,
    _ATEN._unsafe_view.default: _reshape,
    _ATEN.flatten.using_ints: _reshape,
    _ATEN.squeeze.dims: _reshape,
    _ATEN.squeeze.dim: _reshape,
    _ATEN.squeeze.default: _reshape,
    _ATEN.unsqueeze.default: _reshape,
    _ATEN.cat.default: _concat,
    _ATEN.dropout.default: _same,
    _ATEN.alias.default: _same,
    _ATEN.clone.default: _same,
    _ATEN.detach.default: _same,
}
