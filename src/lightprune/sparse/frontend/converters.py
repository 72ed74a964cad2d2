"""ATen operators to ops of the graph IR: one converter an operator, and their table."""

import operator
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch

from lightprune.sparse.frontend.fx_call import FxCall, UnsupportedOp, map_shape
from lightprune.sparse.frontend.pool_converters import adaptive_average, mean, pool
from lightprune.sparse.frontend.selection_converters import (
    pad,
    select_pixels,
    shuffle_channels,
    shuffle_pixels,
    slice_map,
)
from lightprune.sparse.ir import elementwise, ops
from lightprune.sparse.ir.elementwise import FunctionName

# The batch size of the traced example; not 1, so that it cannot be mistaken for another extent.
TRACE_BATCH = 2


def _kernel(call: FxCall) -> ops.Pair:
    """The rows and columns of a weight; a signal's is one row."""
    _, _, *lengths = call.torch_shape(call.arguments["weight"])
    return lengths[-2] if len(lengths) > 1 else 1, lengths[-1]


def _conv(call: FxCall) -> ops.Op:
    kernel = _kernel(call)
    rows, columns = call.pair("dilation")
    padding = call.arguments["padding"]
    if isinstance(padding, str):
        spans = ((kernel[0] - 1) * rows, (kernel[1] - 1) * columns)
        sides = [(span // 2, span - span // 2) if padding == "same" else (0, 0) for span in spans]
    else:
        sides = [(pad, pad) for pad in call.pair("padding")]
    return ops.Conv(
        name=call.node.name,
        inputs=(call.value(call.arguments["input"]),),
        weight=call.required_tensor("weight"),
        bias=call.tensor("bias"),
        channels=call.torch_shape()[1],
        kernel=kernel,
        stride=call.pair("stride"),
        padding=(sides[0], sides[1]),
        dilation=(rows, columns),
        groups=call.arguments["groups"],
    )


def _conv_transpose(call: FxCall) -> ops.Op:
    if call.pair("dilation") != (1, 1):
        raise UnsupportedOp("a dilation")
    return ops.ConvTranspose(
        name=call.node.name,
        inputs=(call.value(call.arguments["input"]),),
        weight=call.required_tensor("weight"),
        bias=call.tensor("bias"),
        channels=call.torch_shape()[1],
        kernel=_kernel(call),
        stride=call.pair("stride"),
        padding=call.pair("padding"),
        output_padding=call.pair("output_padding"),
        groups=call.arguments["groups"],
    )


def _linear(call: FxCall) -> ops.Op:
    source = call.value(call.arguments["input"])
    if len(call.torch_shape()) != 2:
        raise UnsupportedOp("it is applied to a map; supported is one on (N, C)")
    weight, bias = call.required_tensor("weight"), call.tensor("bias")
    return ops.FullyConnected(call.node.name, (source,), weight, bias, call.torch_shape()[1])


def _batch_norm(call: FxCall) -> ops.Op:
    return ops.BatchNorm(
        name=call.node.name,
        inputs=(call.value(call.arguments["input"]),),
        weight=call.tensor("weight"),
        bias=call.tensor("bias"),
        mean=call.required_tensor("running_mean"),
        variance=call.required_tensor("running_var"),
        eps=float(call.arguments["eps"]),
    )


def _relu(call: FxCall) -> ops.Op:
    # torch.export has made in-place ReLUs functional.
    return elementwise.Relu(call.node.name, (call.value(call.arguments["self"]),))


def _function(
    name: FunctionName, *parameters: str | float
) -> Callable[[FxCall], elementwise.Activation]:
    """The converter to a function whose parameters are arguments, by their names, or numbers."""
    return lambda call: _activation(call, name, parameters)


def _activation(
    call: FxCall, name: FunctionName, parameters: Sequence[str | float]
) -> elementwise.Activation:
    if name == "gelu" and call.arguments["approximate"] == "tanh":
        name = "gelu_tanh"
    numbers = [call.arguments[p] if isinstance(p, str) else p for p in parameters]
    words = ", ".join(f"{p}={number}" for p, number in zip(parameters, numbers, strict=True))
    if not all(isinstance(number, int | float) for number in numbers):
        raise UnsupportedOp(words)
    low, high = (*map(float, numbers), 0.0, 0.0)[:2]
    if (name == "clamp" and low > high) or (name == "leaky_relu" and low < 0):
        raise UnsupportedOp(words)
    function = elementwise.Function(name, (low, high))
    source = call.value(call.arguments["self"])
    return elementwise.Activation(call.node.name, (source,), function)


def _multiply(call: FxCall) -> ops.Op:
    factors = [call.value(call.arguments[name]) for name in ("self", "other")]
    if len({len(call.torch_shape(call.arguments[name])) for name in ("self", "other")}) > 1:
        raise UnsupportedOp("its factors have different numbers of dimensions")
    # The smaller one, one number a channel, is the second.
    first, second = sorted(factors, key=lambda name: -prod(call.shapes[name]))
    return elementwise.Multiply(call.node.name, (first, second))


def _add(call: FxCall) -> ops.Op:
    if call.arguments["alpha"] != 1:
        raise UnsupportedOp(f"alpha={call.arguments['alpha']}")
    summands = (call.arguments["self"], call.arguments["other"])
    return elementwise.Add(call.node.name, tuple(call.value(summand) for summand in summands))


def _reshape(call: FxCall) -> ops.Op | str:
    source = call.value(call.arguments["self"])
    batch, *rest = call.torch_shape()
    if batch == TRACE_BATCH and map_shape(rest) == call.shapes[source]:
        return source
    if batch == TRACE_BATCH and len(rest) == 1:
        return ops.Flatten(call.node.name, (source,))
    raise UnsupportedOp(f"a reshape to {(batch, *rest)}; supported is one to (N, features)")


def _concat(call: FxCall) -> ops.Op:
    if call.arguments["dim"] % len(call.torch_shape()) != 1:
        raise UnsupportedOp(f"along dimension {call.arguments['dim']}; supported is along channels")
    return ops.Concat(call.node.name, tuple(call.value(t) for t in call.arguments["tensors"]))


def _identity(call: FxCall) -> str:
    if call.arguments.get("train"):
        raise UnsupportedOp("it drops features in evaluation mode too")
    return call.value(call.arguments.get("self", call.arguments.get("input")))


def _getitem(call: FxCall) -> str:
    source, index = call.node.args
    if index != 0:
        raise UnsupportedOp(f"result {index} of it is used")
    return call.value(source)


_ATEN = torch.ops.aten
# A new operator: an op in ir/ops.py, a function above, and a line here.
CONVERTERS: dict[Any, Callable[[FxCall], ops.Op | str]] = {
    _ATEN.conv2d.default: _conv,
    _ATEN.conv2d.padding: _conv,
    _ATEN.conv1d.default: _conv,
    _ATEN.conv1d.padding: _conv,
    _ATEN.conv_transpose2d.input: _conv_transpose,
    _ATEN.conv_transpose1d.default: _conv_transpose,
    _ATEN.linear.default: _linear,
    _ATEN._native_batch_norm_legit_no_training.default: _batch_norm,
    operator.getitem: _getitem,
    _ATEN.relu.default: _relu,
    _ATEN.hardtanh.default: _function("clamp", "min_val", "max_val"),
    _ATEN.clamp.default: _function("clamp", "min", "max"),
    _ATEN.relu6.default: _function("clamp", 0.0, 6.0),
    _ATEN.leaky_relu.default: _function("leaky_relu", "negative_slope"),
    _ATEN.hardsigmoid.default: _function("hardsigmoid"),
    _ATEN.hardswish.default: _function("hardswish"),
    _ATEN.sigmoid.default: _function("sigmoid"),
    _ATEN.silu.default: _function("silu"),
    _ATEN.gelu.default: _function("gelu"),
    _ATEN.add.Tensor: _add,
    _ATEN.mul.Tensor: _multiply,
    _ATEN.slice.Tensor: slice_map,
    _ATEN.channel_shuffle.default: shuffle_channels,
    _ATEN.pad.default: pad,
    _ATEN.upsample_nearest1d.vec: select_pixels,
    _ATEN.upsample_nearest2d.vec: select_pixels,
    _ATEN._upsample_nearest_exact2d.vec: select_pixels,
    _ATEN.pixel_shuffle.default: shuffle_pixels,
    _ATEN.max_pool2d.default: pool,
    _ATEN.max_pool1d.default: pool,
    _ATEN.avg_pool2d.default: pool,
    _ATEN.avg_pool1d.default: pool,
    _ATEN.adaptive_avg_pool2d.default: adaptive_average,
    _ATEN.adaptive_avg_pool1d.default: adaptive_average,
    _ATEN.mean.dim: mean,
    _ATEN.reshape.default: _reshape,
    _ATEN.flatten.using_ints: _reshape,
    _ATEN.squeeze.dims: _reshape,
    _ATEN.squeeze.dim: _reshape,
    _ATEN.squeeze.default: _reshape,
    _ATEN.unsqueeze.default: _reshape,
    _ATEN.cat.default: _concat,
    _ATEN.dropout.default: _identity,
    _ATEN.alias.default: _identity,
    _ATEN.clone.default: _identity,
    _ATEN.detach.default: _identity,
}
