"""A graph and its state dict as unfused steps: every layer of weights is a convolution."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightprune.errors import InputError
from lightprune.sparse.ir.graph import Graph
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
from lightprune.sparse.ir.program import (
    AddStep,
    Array,
    ConcatStep,
    ConvStep,
    FlattenStep,
    PoolStep,
    Step,
)
from lightprune.sparse.passes.crop_kernels import crop_kernel

State = Mapping[str, NDArray[Any]]
_NO_PADDING = ((0, 0), (0, 0))


def legalize(graph: Graph, state: State) -> list[Step]:
    """Writes every node as a step, with weights in float64.

    Args:
        graph: The network.
        state: Its tensors by their names, of any float type.

    Returns:
        Steps in order, whose values have the shapes of the graph's. A linear layer on a flattened
        map is a convolution of the map, kernels are cropped to the taps that matter, and batch
        norms are convolutions of every channel with itself.

    Raises:
        InputError: A tensor is missing, has another shape or holds no finite number.
    """
    producers = {node.name: node for node in graph.nodes}
    uneven = {node.name for node in graph.nodes if isinstance(node, AdaptiveAvgPool)}
    steps: list[Step] = []
    for node in graph.nodes:
        if isinstance(node, Linear):
            steps.append(_linear(node, graph, state, producers))
        elif node.name not in uneven:
            steps.append(_STEPS[type(node)](node, graph, state))
    used = eliminate_dead_steps(steps, graph.output)
    for step in used:
        if found := uneven.intersection((*step.inputs, graph.output)):
            raise InputError(
                f"adaptive average pooling {found.pop()!r} to a size that does not divide the "
                "map's is supported only where a linear layer reads the flattened result"
            )
    return used


def eliminate_dead_steps(steps: list[Step], output: str) -> list[Step]:
    """The steps that `output` depends on, in their order."""
    wanted = {output}
    kept: list[Step] = []
    for step in reversed(steps):
        if step.value in wanted:
            wanted.update(step.inputs)
            kept.append(step)
    return kept[::-1]


def _tensor(state: State, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """A tensor of the state dict, of the shape that the graph asks for."""
    found = state.get(name)
    if found is None:
        raise InputError(f"the state dict has no tensor {name!r}, which the network uses")
    if found.shape != shape or not np.issubdtype(found.dtype, np.floating):
        raise InputError(
            f"tensor {name!r} is {found.dtype} of shape {found.shape}; the network needs floating "
            f"point of shape {shape}"
        )
    if not np.isfinite(found).all():
        raise InputError(f"tensor {name!r} holds a number that is not finite")
    return found


def _bias(state: State, name: str | None, count: int) -> Array:
    """A bias in float64, 0 if there is none."""
    return np.zeros(count) if name is None else _tensor(state, name, (count,)).astype(np.float64)


def _conv(node: Conv, graph: Graph, state: State) -> Step:
    """A convolution; cropped before it is converted, since most of a kernel may be dead."""
    seen, out = graph.shapes[node.inputs[0]], graph.shapes[node.name]
    step = ConvStep(
        value=node.name,
        input=node.inputs[0],
        weight=_tensor(state, node.weight, (out[0], seen[0] // node.groups, *node.kernel)),
        bias=_bias(state, node.bias, out[0]),
        stride=node.stride,
        padding=node.padding,
        dilation=node.dilation,
        groups=node.groups,
        residual=None,
        relu=False,
        layers=(node.weight.removesuffix(".weight"),),
    )
    step = crop_kernel(step, seen, out)
    return replace(step, weight=step.weight.astype(np.float64))


def _linear(node: Linear, graph: Graph, state: State, producers: Mapping[str, Op]) -> Step:
    """A linear layer as a convolution whose kernel is the whole map that was flattened."""
    features = graph.shapes[node.inputs[0]][0]
    weight = _tensor(state, node.weight, (node.features, features))
    source, before = node.inputs[0], producers.get(node.inputs[0])
    if isinstance(before, Flatten):
        source, before = before.inputs[0], producers.get(before.inputs[0])
    c, *size = graph.shapes[source]
    weight = weight.reshape(node.features, c, *size)
    if isinstance(before, AdaptiveAvgPool):
        source = before.inputs[0]
        _, *smaller = graph.shapes[source]
        rows, columns = (_averages(n, out) for n, out in zip(smaller, size, strict=True))
        averages = np.kron(rows, columns)
        # Row by row: all of a large layer in float64 would be gigabytes.
        products = [row.reshape(c, -1).astype(np.float64) @ averages for row in weight]
        weight = np.stack(products).reshape(node.features, c, *smaller)
    step = ConvStep(
        value=node.name,
        input=source,
        weight=weight,
        bias=_bias(state, node.bias, node.features),
        stride=(1, 1),
        padding=_NO_PADDING,
        dilation=(1, 1),
        groups=1,
        residual=None,
        relu=False,
        layers=(node.weight.removesuffix(".weight"),),
    )
    step = crop_kernel(step, graph.shapes[source], graph.shapes[node.name])
    return replace(step, weight=step.weight.astype(np.float64))


def _averages(size: int, out: int) -> Array:
    """The matrix (out, size) of adaptive average pooling along one axis."""
    matrix = np.zeros((out, size))
    for i in range(out):
        window = slice(i * size // out, -(-(i + 1) * size // out))
        matrix[i, window] = 1 / (window.stop - window.start)
    return matrix


def _batch_norm(node: BatchNorm, graph: Graph, state: State) -> Step:
    """A batch norm as a 1x1 convolution of every channel with itself."""
    count = graph.shapes[node.name][0]
    mean, variance = (_bias(state, name, count) for name in (node.mean, node.variance))
    if (variance + node.eps <= 0).any():
        raise InputError(f"tensor {node.variance!r} holds a variance that is not positive")
    scale = 1 / np.sqrt(variance + node.eps)
    if node.weight is not None:
        scale *= _bias(state, node.weight, count)
    return ConvStep(
        value=node.name,
        input=node.inputs[0],
        weight=scale.reshape(count, 1, 1, 1),
        bias=_bias(state, node.bias, count) - mean * scale,
        stride=(1, 1),
        padding=_NO_PADDING,
        dilation=(1, 1),
        groups=count,
        residual=None,
        relu=False,
        layers=(node.mean.removesuffix(".running_mean"),),
    )


def _pool(node: MaxPool | AvgPool, graph: Graph, state: State) -> Step:
    """Max or average pooling."""
    (source,) = node.inputs
    if isinstance(node, MaxPool):
        return PoolStep(node.name, source, "max", node.kernel, node.stride, node.padding, False)
    counted = node.count_include_pad
    return PoolStep(node.name, source, "avg", node.kernel, node.stride, node.padding, counted)


_STEPS: dict[type[Op], Callable[[Any, Graph, State], Step]] = {
    Conv: _conv,
    BatchNorm: _batch_norm,
    Relu: lambda node, graph, state: AddStep(node.name, node.inputs, None, True),
    Add: lambda node, graph, state: AddStep(node.name, node.inputs, None, False),
    MaxPool: _pool,
    AvgPool: _pool,
    Flatten: lambda node, graph, state: FlattenStep(node.name, node.inputs[0]),
    Concat: lambda node, graph, state: ConcatStep(node.name, node.inputs),
}
