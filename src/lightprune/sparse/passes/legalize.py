"""A graph and its state dict as a program: every layer with weights becomes a convolution."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import prod
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lightprune.errors import InputError
from lightprune.sparse.ir import elementwise, ops, pools, selections
from lightprune.sparse.ir import program as ir
from lightprune.sparse.ir.graph import Graph
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.passes.cleanup import eliminate_dead_steps
from lightprune.sparse.passes.crop_kernels import crop_kernel
from lightprune.sparse.passes.transposed_conv import by_phases

State = Mapping[str, NDArray[Any]]


def legalize(graph: Graph, state: State) -> ir.Program:
    """Turns every op into a step with its weights: `state`, of any float type, in float64.

    A linear layer on a flattened map becomes a convolution of the map, a batch norm a depthwise
    1x1 convolution; kernels are cropped to the taps that meet data.

    Raises:
        InputError: A tensor is missing, has another shape or holds no finite number.
    """
    producers = {op.name: op for op in graph.ops}
    uneven = {op.name for op in graph.ops if isinstance(op, pools.AdaptiveAvgPool)}
    steps: list[ir.Step] = []
    shapes = dict(graph.shapes)
    for op in graph.ops:
        if isinstance(op, ops.ConvTranspose):
            conv, shapes[conv.value], gather = _conv_transpose(op, graph, state)
            steps += [conv, gather]
        elif isinstance(op, ops.FullyConnected):
            steps.append(_linear(op, graph, state, producers))
        elif op.name not in uneven:
            steps.append(_STEPS[type(op)](op, graph, state))
    program = eliminate_dead_steps(ir.Program(tuple(steps), shapes, graph.output, graph.flat))
    read = {program.output, *(name for step in program.steps for name in step.inputs)}
    if other := sorted(uneven & read):
        raise InputError(
            f"adaptive average pooling {other[0]!r} to a size that does not divide the map's is "
            "supported only where a linear layer reads the flattened result"
        )
    return program


def _tensor(state: State, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    tensor = state.get(name)
    if tensor is None:
        raise InputError(f"the state dict has no tensor {name!r}, which the network uses")
    if tensor.shape != shape or not np.issubdtype(tensor.dtype, np.floating):
        raise InputError(
            f"tensor {name!r} is {tensor.dtype} of shape {tensor.shape}; the network needs "
            f"floating point of shape {shape}"
        )
    if not np.isfinite(tensor).all():
        raise InputError(f"tensor {name!r} holds a number that is not finite")
    return tensor


def _vector(state: State, name: str | None, count: int) -> ir.Array:
    """A bias or statistic in float64, 0 if there is none."""
    return np.zeros(count) if name is None else _tensor(state, name, (count,)).astype(np.float64)


def _kernels(state: State, name: str, shape: tuple[int, int, int, int]) -> NDArray[Any]:
    """The weight of a convolution; in one dimension its kernels have no rows."""
    if name in state and state[name].ndim == 3 and shape[2] == 1:
        return _tensor(state, name, (*shape[:2], shape[3])).reshape(shape)
    return _tensor(state, name, shape)


def _conv(op: ops.Conv, graph: Graph, state: State) -> ir.Step:
    in_shape, out_shape = graph.shapes[op.inputs[0]], graph.shapes[op.name]
    step = ir.ConvStep(
        op.name,
        op.inputs,
        weight=_kernels(state, op.weight, (op.channels, in_shape[0] // op.groups, *op.kernel)),
        bias=_vector(state, op.bias, op.channels),
        stride=op.stride,
        padding=op.padding,
        dilation=op.dilation,
        groups=op.groups,
        layers=(op.weight.removesuffix(".weight"),),
    )
    # Cropped before it is converted: most of a kernel may be unreachable.
    step = crop_kernel(step, in_shape, out_shape)
    return replace(step, weight=step.weight.astype(np.float64))


def _conv_transpose(
    op: ops.ConvTranspose, graph: Graph, state: State
) -> tuple[ir.ConvStep, Shape, ir.GatherStep]:
    shapes = graph.shapes[op.inputs[0]], graph.shapes[op.name]
    kernels = (shapes[0][0], op.channels // op.groups, *op.kernel)
    weight = _kernels(state, op.weight, kernels).astype(np.float64)
    return by_phases(op, weight, _vector(state, op.bias, op.channels), *shapes)


def _linear(
    op: ops.FullyConnected, graph: Graph, state: State, producers: Mapping[str, ops.Op]
) -> ir.Step:
    """A linear layer as a convolution whose kernel is the whole map that was flattened."""
    features = graph.shapes[op.inputs[0]][0]
    weight = _tensor(state, op.weight, (op.features, features))
    source, producer = op.inputs[0], producers.get(op.inputs[0])
    if isinstance(producer, ops.Flatten):
        source, producer = producer.inputs[0], producers.get(producer.inputs[0])
    c, *size = graph.shapes[source]
    weight = weight.reshape(op.features, c, *size)
    if isinstance(producer, pools.AdaptiveAvgPool):
        source = producer.inputs[0]
        _, *pooled = graph.shapes[source]
        rows, columns = (_averages(n, out) for n, out in zip(pooled, size, strict=True))
        averages = np.kron(rows, columns)
        # Row by row: all of a large layer in float64 would be gigabytes.
        products = [row.reshape(c, -1).astype(np.float64) @ averages for row in weight]
        weight = np.stack(products).reshape(op.features, c, *pooled)
    bias = _vector(state, op.bias, op.features)
    layers = (op.weight.removesuffix(".weight"),)
    step = ir.ConvStep(op.name, (source,), weight, bias, layers=layers)
    step = crop_kernel(step, graph.shapes[source], graph.shapes[op.name])
    return replace(step, weight=step.weight.astype(np.float64))


def _averages(size: int, out: int) -> ir.Array:
    """The matrix (out, size) of adaptive average pooling along one axis."""
    columns = F.adaptive_avg_pool1d(torch.eye(size, dtype=torch.float64), out)
    return np.ascontiguousarray(columns.numpy().T)


def _batch_norm(op: ops.BatchNorm, graph: Graph, state: State) -> ir.Step:
    count = graph.shapes[op.name][0]
    mean, variance = (_vector(state, name, count) for name in (op.mean, op.variance))
    if (variance + op.eps <= 0).any():
        raise InputError(f"tensor {op.variance!r} holds a variance that is not positive")
    scale = 1 / np.sqrt(variance + op.eps)
    if op.weight is not None:
        scale *= _vector(state, op.weight, count)
    bias = _vector(state, op.bias, count) - mean * scale
    weight = scale.reshape(count, 1, 1, 1)
    layers = (op.mean.removesuffix(".running_mean"),)
    return ir.ConvStep(op.name, op.inputs, weight, bias, groups=count, layers=layers)


def _pool(op: pools.MaxPool | pools.AvgPool, graph: Graph, state: State) -> ir.Step:
    kind: Literal["max", "avg"] = "max" if isinstance(op, pools.MaxPool) else "avg"
    include_pad = isinstance(op, pools.AvgPool) and op.count_include_pad
    dilation = op.dilation if isinstance(op, pools.MaxPool) else (1, 1)
    windows = (op.kernel, op.stride, op.padding)
    return ir.PoolStep(op.name, op.inputs, kind, *windows, include_pad, op.ceil_mode, dilation)


def _select(op: selections.SelectChannels, graph: Graph, state: State) -> ir.Step:
    """A 1x1 convolution: its one weight a channel is 1, or none where it selects zeros."""
    channels = np.array(op.channels)
    weight = np.zeros((len(channels), graph.shapes[op.inputs[0]][0], 1, 1))
    weight[channels >= 0, channels[channels >= 0]] = 1
    return ir.ConvStep(op.name, op.inputs, weight, np.zeros(len(weight)))


def _select_pixels(op: selections.SelectPixels, graph: Graph, state: State) -> ir.Step:
    width = graph.shapes[op.inputs[0]][2]
    indices = ir.grid_indices(np.array(op.rows), np.array(op.columns), width)
    return ir.GatherStep(op.name, op.inputs, indices)


def _pixel_shuffle(op: selections.PixelShuffle, graph: Graph, state: State) -> ir.Step:
    _, *size = graph.shapes[op.inputs[0]]
    planes = op.factor**2
    indices = np.arange(planes * prod(size), dtype=np.int32).reshape(op.factor, op.factor, *size)
    shape = graph.shapes[op.name][1:]
    return ir.GatherStep(op.name, op.inputs, indices.transpose(2, 0, 3, 1).reshape(shape), planes)


_STEPS: dict[type[ops.Op], Callable[[Any, Graph, State], ir.Step]] = {
    ops.Conv: _conv,
    ops.BatchNorm: _batch_norm,
    elementwise.Relu: lambda op, graph, state: ir.AddStep(op.name, op.inputs, None, True),
    elementwise.Add: lambda op, graph, state: ir.AddStep(op.name, op.inputs, None, False),
    elementwise.Activation: lambda op, graph, state: ir.ActivationStep(
        op.name, op.inputs, op.function
    ),
    elementwise.Multiply: lambda op, graph, state: ir.MultiplyStep(op.name, op.inputs),
    pools.MaxPool: _pool,
    pools.AvgPool: _pool,
    selections.SelectChannels: _select,
    selections.SelectPixels: _select_pixels,
    selections.PixelShuffle: _pixel_shuffle,
    ops.Flatten: lambda op, graph, state: ir.FlattenStep(op.name, op.inputs),
    ops.Concat: lambda op, graph, state: ir.ConcatStep(op.name, op.inputs),
}
