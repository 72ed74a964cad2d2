"""Runs a program in plain torch, step by step, in the type of its weights."""

import torch
import torch.nn.functional as F

from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.program import (
    ActivationStep,
    AddStep,
    ConcatStep,
    ConvStep,
    FlattenStep,
    GatherStep,
    MultiplyStep,
    PoolStep,
)


def run(program, images):
    """The output of a program; checks every shape on the way."""
    values = {INPUT: images}
    for step in program.steps:
        inputs = [values[name] for name in step.inputs]
        value = RULES[type(step)](step, inputs, program.shapes[step.value], len(images))
        assert tuple(value.shape[1:]) == program.shapes[step.value], step.value
        values[step.value] = value
    assert set(program.shapes) == set(values)
    return values[program.output].flatten(1) if program.flat else values[program.output]


def tensor(array):
    return torch.from_numpy(array) if array.ndim == 3 else torch.from_numpy(array)[:, None, None]


def finish(value, step):
    return value.relu() if step.relu else value


def conv(step, inputs, shape, count):
    (top, bottom), (left, right) = step.padding
    sides = (left, right, top, bottom)
    # Rows cropped at one side may be padding of the other.
    padded = F.pad(inputs[0], tuple(max(side, 0) for side in sides))
    padded = F.pad(padded, tuple(min(side, 0) for side in sides))
    weight = torch.from_numpy(step.weight)
    value = F.conv2d(padded, weight, None, step.stride, 0, step.dilation, step.groups)
    value = finish(sum(inputs[1:], value + tensor(step.bias)), step)
    return value if step.activation is None else apply(step.activation, value)


def apply(function, value):
    first, second = function.parameters
    match function.name:
        case "clamp":
            return F.hardtanh(value, first, second)
        case "leaky_relu":
            return value.relu() - first * (-value).relu()
        case "hardsigmoid":
            return F.relu6(value + 3) / 6
        case "hardswish":
            return value * F.relu6(value + 3) / 6
        case "sigmoid":
            return 1 / (1 + (-value).exp())
        case "silu":
            return value / (1 + (-value).exp())
        case "gelu":
            return value * torch.special.ndtr(value)
        case "gelu_tanh":
            inner = (2 / torch.pi) ** 0.5 * (value + 0.044715 * value**3)
            return value * (1 + inner.tanh()) / 2


def add(step, inputs, shape, count):
    value = (
        sum(inputs) if step.bias is None else sum(inputs, tensor(step.bias).expand(count, *shape))
    )
    return finish(value, step)


def pool(step, inputs, shape, count):
    if step.kind == "max":
        windows = (step.kernel, step.stride, step.padding)
        return F.max_pool2d(inputs[0], *windows, step.dilation, step.ceil_mode)
    settings = {"count_include_pad": step.count_include_pad, "ceil_mode": step.ceil_mode}
    return F.avg_pool2d(inputs[0], step.kernel, step.stride, step.padding, **settings)


def gather(step, inputs, shape, count):
    pixels = F.pad(inputs[0].reshape(count, shape[0], -1), (1, 0))
    return pixels[:, :, torch.from_numpy(step.indices).long() + 1]


RULES = {
    ConvStep: conv,
    AddStep: add,
    PoolStep: pool,
    GatherStep: gather,
    ActivationStep: lambda step, inputs, shape, count: apply(step.function, inputs[0]),
    MultiplyStep: lambda step, inputs, shape, count: inputs[0] * inputs[1],
    ConcatStep: lambda step, inputs, shape, count: torch.cat(inputs, 1),
    FlattenStep: lambda step, inputs, shape, count: inputs[0].flatten(1)[:, :, None, None],
}
