"""Channels that are the same for every input: inferred, and folded into the biases after them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from lightprune.sparse.ir import program as ir
from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.passes.crop_kernels import any_over_taps
from lightprune.sparse.passes.fuse import add_biases

_Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Facts:
    """What holds of a value for every input of the network.

    Attributes:
        shape: (C, H, W) of the value.
        level: The constant channels, 0 elsewhere: (C, H, W), or (C, 1, 1) if each is the same at
            every position, so that no map is held for what is not constant.
        constant: (C,): which channels are constant.
        nonnegative: (C,): which channels are nowhere negative.
        nonpositive: (C,): which channels are nowhere positive.
    """

    shape: Shape
    level: ir.Array
    constant: _Flags
    nonnegative: _Flags
    nonpositive: _Flags

    def maps(self, channels: _Flags | None = None) -> ir.Array:
        """The levels of some channels, or of all, as (c, H, W)."""
        level = self.level if channels is None else self.level[channels]
        return np.broadcast_to(level, (len(level), *self.shape[1:]))


def fold_constants(program: ir.Program) -> ir.Program:
    """Adds what constant channels contribute to the biases, so that nothing reads them any more.

    A channel is constant if no weight reaches it from the input, or if a ReLU follows and it is
    never positive: all it adds up are weights below 0 times values above 0, or the reverse. The
    program is one before fusion, without residuals, and with ReLUs only in AddSteps.

    Returns:
        Steps that compute the same values. Weights on constant channels are 0, sums have no
        constant summands, and what is constant as a whole is an AddStep of its bias alone.
    """
    shapes = program.shapes
    none = np.zeros(shapes[INPUT][0], dtype=np.bool_)
    facts = {INPUT: _Facts(shapes[INPUT], _as_level(None, len(none)), none, none, none)}
    folded: list[ir.Step] = []
    last_reader = {name: i for i, step in enumerate(program.steps) for name in step.inputs}
    for i, step in enumerate(program.steps):
        inputs = step.inputs
        read = [facts[name] for name in inputs]
        step, result = _TRANSFER[type(step)](step, read, shapes[step.value])
        for name in {name for name in inputs if last_reader[name] == i}:
            del facts[name]
        if result.constant.all():
            step = ir.AddStep(step.value, (), _collapse(result.level), relu=False)
        facts[step.value] = result
        folded.append(step)
    return program.with_steps(folded)


def _as_level(bias: ir.Array | None, channels: int) -> ir.Array:
    if bias is None:
        return np.zeros((channels, 1, 1))
    return bias[:, None, None] if bias.ndim == 1 else bias


def _collapse(bias: ir.Array) -> ir.Array:
    """A bias map (C, H, W) as (C,) where it is the same everywhere, up to float64's rounding."""
    if bias.ndim == 1:
        return bias
    low, high = bias.min(axis=(1, 2)), bias.max(axis=(1, 2))
    same = (high - low <= 1e-13 * np.maximum(np.abs(low), np.abs(high))).all()
    return low if same else bias


def _conv(step: ir.ConvStep, inputs: list[_Facts], out: Shape) -> tuple[ir.Step, _Facts]:
    """Constants go to the bias; the sign follows where weights and inputs agree."""
    (source,) = inputs
    group = np.arange(out[0]) // (out[0] // step.groups)
    width = step.weight.shape[1]
    read = group[:, None] * width + np.arange(width)
    bias = _collapse(_as_level(add_biases(step.bias, _convolve(step, source, out)), out[0]))
    level = _as_level(bias, out[0])
    weight = step.weight
    if source.constant.any():
        weight = weight * ~source.constant[read][:, :, None, None]
    up, down = any_over_taps(weight > 0), any_over_taps(weight < 0)
    low, high = source.nonnegative[read], source.nonpositive[read]
    constant: _Flags = np.logical_not((up | down).any(axis=1))
    nonnegative = ~((up & ~low) | (down & ~high)).any(axis=1) & (level >= 0).all(axis=(1, 2))
    nonpositive = ~((up & ~high) | (down & ~low)).any(axis=1) & (level <= 0).all(axis=(1, 2))
    facts = _Facts(out, level * constant[:, None, None], constant, nonnegative, nonpositive)
    return replace(step, weight=weight, bias=bias), facts


def _convolve(step: ir.ConvStep, source: _Facts, out: Shape) -> ir.Array | None:
    """The convolution of the constant channels, (O, H', W'); None if it is 0."""
    weight, nonzero = step.weight, np.any(source.level, axis=(1, 2))
    if not nonzero.any():
        return None
    if step.groups == 1:
        weight = weight[:, nonzero]
    maps = torch.tensor(source.maps(nonzero if step.groups == 1 else None))
    sides = (*step.padding[1], *step.padding[0])
    # What is cropped at one side may be padding of the other.
    padded = F.pad(maps, tuple(max(side, 0) for side in sides))
    padded = F.pad(padded, tuple(min(side, 0) for side in sides))
    weights = torch.tensor(weight)
    result = F.conv2d(
        padded[None], weights, stride=step.stride, dilation=step.dilation, groups=step.groups
    )
    return result[0].numpy()


def _add(step: ir.AddStep, inputs: list[_Facts], out: Shape) -> tuple[ir.Step, _Facts]:
    """Summands that are constant as a whole join the bias."""
    bias = step.bias
    for summand in inputs:
        if summand.constant.all():
            bias = add_biases(bias, _collapse(summand.level))
    varying = [(n, f) for n, f in zip(step.inputs, inputs, strict=True) if not f.constant.all()]
    facts = [f for _, f in varying]
    level = _as_level(bias, out[0])
    nonnegative = _all([(level >= 0).all(axis=(1, 2)), *(f.nonnegative for f in facts)])
    nonpositive = _all([(level <= 0).all(axis=(1, 2)), *(f.nonpositive for f in facts)])
    constant = _all([np.ones(out[0], np.bool_), *(f.constant for f in facts)])
    level = sum((f.level for f in facts), level)
    if step.relu:
        # What is never positive becomes 0 here.
        level, constant = np.maximum(level, 0) * ~nonpositive[:, None, None], constant | nonpositive
        nonnegative = np.ones_like(nonnegative)
    level = level * constant[:, None, None]
    bias = None if bias is None or not bias.any() else _collapse(bias)
    step = replace(step, inputs=tuple(name for name, _ in varying), bias=bias)
    return step, _Facts(out, level, constant, nonnegative, nonpositive)


def _activate(step: ir.ActivationStep, inputs: list[_Facts], out: Shape) -> tuple[ir.Step, _Facts]:
    """Constants stay constant; a clamp makes some of what has one sign."""
    (source,) = inputs
    constant, function = source.constant, step.function
    low, high = function.parameters if function.name == "clamp" else (-np.inf, np.inf)
    level = function(torch.tensor(source.level)).numpy()
    if low >= 0:  # What is never positive becomes the lower bound.
        constant = constant | source.nonpositive
        level = np.where(source.nonpositive[:, None, None], low, level)
    sigmoids = low >= 0 or function.name in ("sigmoid", "hardsigmoid")
    nonnegative = source.nonnegative & (high >= 0) | np.bool_(sigmoids)
    nonpositive = (source.nonpositive & (low <= 0) & (not sigmoids)) | np.bool_(high <= 0)
    level = level * constant[:, None, None]
    return step, _Facts(out, level, constant, nonnegative, nonpositive)


def _multiply(step: ir.MultiplyStep, inputs: list[_Facts], out: Shape) -> tuple[ir.Step, _Facts]:
    """Constant where both are, or one is 0."""
    first, second = inputs
    zeros = [f.constant & ~np.any(f.level, axis=(1, 2)) for f in inputs]
    constant = first.constant & second.constant | zeros[0] | zeros[1]
    same = first.nonnegative & second.nonnegative | first.nonpositive & second.nonpositive
    opposite = first.nonnegative & second.nonpositive | first.nonpositive & second.nonnegative
    level = first.level * second.level * constant[:, None, None]
    return step, _Facts(out, level, constant, same, opposite)


def _all(flags: list[Any]) -> _Flags:
    result: _Flags = np.logical_and.reduce(flags)
    return result


def _pool(step: ir.PoolStep, inputs: list[_Facts], out: Shape) -> tuple[ir.Step, _Facts]:
    """Channels stay constant, or of one sign; the maps of constant ones are pooled."""
    (source,) = inputs
    nonzero = np.any(source.level, axis=(1, 2))
    level = _as_level(None, out[0])
    if nonzero.any():
        level = np.zeros(out)
        maps, windows = torch.tensor(source.maps(nonzero)), (step.kernel, step.stride, step.padding)
        level[nonzero] = (
            F.max_pool2d(maps, *windows, step.dilation, step.ceil_mode)
            if step.kind == "max"
            else F.avg_pool2d(maps, *windows, step.ceil_mode, step.count_include_pad)
        )
    return step, replace(source, shape=out, level=level)


def _concat(step: ir.ConcatStep, inputs: list[_Facts], out: Shape) -> tuple[ir.Step, _Facts]:
    names = ("constant", "nonnegative", "nonpositive")
    flags = (np.concatenate([getattr(facts, name) for facts in inputs]) for name in names)
    levels = [facts.level for facts in inputs]
    if any(level.shape[1:] != (1, 1) for level in levels):
        levels = [facts.maps() for facts in inputs]
    return step, _Facts(out, np.concatenate(levels), *flags)


def _flatten(step: ir.FlattenStep, inputs: list[_Facts], out: Shape) -> tuple[ir.Step, _Facts]:
    """Every position of a channel is as the channel was."""
    (source,) = inputs
    times = out[0] // len(source.level)
    flags = (source.constant, source.nonnegative, source.nonpositive)
    level = source.maps().reshape(out)
    return step, _Facts(out, level, *(np.repeat(f, times) for f in flags))


def _gather(step: ir.GatherStep, inputs: list[_Facts], out: Shape) -> tuple[ir.Step, _Facts]:
    """A channel is as all that it is gathered from; zeros are constant and of both signs."""
    (source,) = inputs
    read = (source.constant, source.nonnegative, source.nonpositive)
    flags: list[_Flags] = [np.all(f.reshape(-1, step.planes), axis=1) for f in read]
    level = _as_level(None, out[0])
    if source.level.any():
        pixels = source.maps().reshape(out[0], -1)
        level = np.where(step.indices < 0, 0, pixels[:, step.indices])
        level *= flags[0][:, None, None]
    return step, _Facts(out, level, *flags)


# What each step makes of the facts about its inputs.
_TRANSFER: dict[type, Callable[[Any, list[_Facts], Shape], tuple[ir.Step, _Facts]]] = {
    ir.ConvStep: _conv,
    ir.AddStep: _add,
    ir.ActivationStep: _activate,
    ir.MultiplyStep: _multiply,
    ir.PoolStep: _pool,
    ir.ConcatStep: _concat,
    ir.FlattenStep: _flatten,
    ir.GatherStep: _gather,
}
