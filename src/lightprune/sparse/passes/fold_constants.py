"""Channels that are the same for every input: found, and folded into the biases that read them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import (
    AddStep,
    Array,
    ConcatStep,
    ConvStep,
    FlattenStep,
    PoolStep,
    Step,
)
from lightprune.sparse.passes.crop_kernels import in_any_tap
from lightprune.sparse.passes.fuse import summed

_Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class _Known:
    """What is known of a value whatever the input is.

    Attributes:
        shape: (C, H, W) of the value.
        level: The constant channels, 0 elsewhere: (C, H, W), or (C, 1, 1) if each is the same at
            every position, so that no map is held for what is not constant.
        constant: (C,): which channels are constant.
        low: (C,): which channels are nowhere negative.
        high: (C,): which channels are nowhere positive.
    """

    shape: Shape
    level: Array
    constant: _Flags
    low: _Flags
    high: _Flags

    def maps(self, channels: _Flags | None = None) -> Array:
        """The levels of some channels, or of all, as (c, H, W)."""
        chosen = self.level if channels is None else self.level[channels]
        return np.broadcast_to(chosen, (len(chosen), *self.shape[1:]))


def fold_constants(steps: list[Step], shapes: Mapping[str, Shape]) -> list[Step]:
    """Moves what constant channels contribute into biases, so that nothing reads them any more.

    A channel is constant if no weight reaches it from the input, or if a ReLU follows and it is
    never positive: all it adds up are weights below 0 times values above 0, or the reverse.

    Args:
        steps: Steps in order, before fusion: no residuals, ReLUs only in AddSteps.
        shapes: (C, H, W) of every value.

    Returns:
        Steps that compute the same values. Weights on constant channels are 0, sums have no
        constant summands, and what is constant as a whole is an AddStep of its bias alone.
    """
    nothing = np.zeros(shapes[INPUT][0], dtype=np.bool_)
    known = {INPUT: _Known(shapes[INPUT], _levels(None, len(nothing)), nothing, nothing, nothing)}
    folded: list[Step] = []
    last = {name: i for i, step in enumerate(steps) for name in step.inputs}
    for i, step in enumerate(steps):
        rule, read = _RULES[type(step)], step.inputs
        step, found = rule(step, [known[name] for name in read], shapes[step.value])
        for name in {name for name in read if last[name] == i}:
            del known[name]
        if found.constant.all():
            step = AddStep(step.value, (), _collapsed(found.level), relu=False)
        known[step.value] = found
        folded.append(step)
    return folded


def _positions(step: ConvStep, axis: int, tap: int, size: int, out: int) -> tuple[slice, slice]:
    """The outputs that read the map through a tap, and the inputs that they read."""
    stride = step.stride[axis]
    start = tap * step.dilation[axis] - step.padding[axis][0]
    first = max(-(start // stride), 0)
    last = min((size - 1 - start) // stride, out - 1)
    if last < first:
        return slice(0, 0), slice(0, 0)
    return slice(first, last + 1), slice(start + first * stride, start + last * stride + 1, stride)


def _levels(bias: Array | None, channels: int) -> Array:
    """A bias, None for none, as the levels of a value's channels."""
    if bias is None:
        return np.zeros((channels, 1, 1))
    return bias[:, None, None] if bias.ndim == 1 else bias


def _collapsed(bias: Array) -> Array:
    """A bias map (C, H, W) as (C,) where it is the same everywhere, up to float64's rounding."""
    if bias.ndim == 1:
        return bias
    low, high = bias.min(axis=(1, 2)), bias.max(axis=(1, 2))
    same = (high - low <= 1e-13 * np.maximum(np.abs(low), np.abs(high))).all()
    return low if same else bias


def _convolved(step: ConvStep, source: _Known, out: Shape) -> Array | None:
    """The convolution of the constant channels, (O, H', W'); None if it is 0."""
    weight, there = step.weight, np.any(source.level, axis=(1, 2))
    if not there.any():
        return None
    if step.groups == 1:
        weight = weight[:, there]
    level = source.maps(there if step.groups == 1 else None)
    result = np.zeros((step.groups, out[0] // step.groups, *out[1:]))
    grouped = level.reshape(step.groups, -1, *level.shape[1:])
    taps = weight.reshape(step.groups, -1, *weight.shape[1:])
    for i in range(weight.shape[2]):
        to_rows, rows = _positions(step, 0, i, level.shape[1], out[1])
        for j in range(weight.shape[3]):
            to_columns, columns = _positions(step, 1, j, level.shape[2], out[2])
            part = grouped[:, :, rows, columns]
            if part.size:
                flat = part.reshape(*part.shape[:2], -1)
                product = (taps[..., i, j] @ flat).reshape(step.groups, -1, *part.shape[2:])
                result[:, :, to_rows, to_columns] += product
    return result.reshape(out)


def _conv(step: ConvStep, inputs: list[_Known], out: Shape) -> tuple[Step, _Known]:
    """A convolution: constants go to the bias; signs follow if weights and inputs agree."""
    (source,) = inputs
    group = np.arange(out[0]) // (out[0] // step.groups)
    width = step.weight.shape[1]
    read = group[:, None] * width + np.arange(width)
    bias = _collapsed(_levels(summed(step.bias, _convolved(step, source, out)), out[0]))
    level = _levels(bias, out[0])
    weight = step.weight
    if source.constant.any():
        weight = weight * ~source.constant[read][:, :, None, None]
    up, down = in_any_tap(weight > 0), in_any_tap(weight < 0)
    low, high = source.low[read], source.high[read]
    constant: _Flags = np.logical_not((up | down).any(axis=1))
    never_below = ~((up & ~low) | (down & ~high)).any(axis=1) & (level >= 0).all(axis=(1, 2))
    never_above = ~((up & ~high) | (down & ~low)).any(axis=1) & (level <= 0).all(axis=(1, 2))
    level = level * constant[:, None, None]
    known = _Known(out, level, constant, never_below, never_above)
    return replace(step, weight=weight, bias=bias), known


def _add(step: AddStep, inputs: list[_Known], out: Shape) -> tuple[Step, _Known]:
    """A sum: summands that are constant as a whole join the bias."""
    bias = step.bias
    for summand in inputs:
        if summand.constant.all():
            bias = summed(bias, _collapsed(summand.level))
    left = [(n, k) for n, k in zip(step.inputs, inputs, strict=True) if not k.constant.all()]
    shift = _levels(bias, out[0])
    known = [k for _, k in left]
    constant = np.logical_and.reduce([np.ones(out[0], np.bool_), *(k.constant for k in known)])
    low = np.logical_and.reduce([(shift >= 0).all(axis=(1, 2)), *(k.low for k in known)])
    high = np.logical_and.reduce([(shift <= 0).all(axis=(1, 2)), *(k.high for k in known)])
    level = sum((k.level for k in known), shift)
    if step.relu:
        # What is never positive becomes 0 here.
        level, constant = np.maximum(level, 0) * ~high[:, None, None], constant | high
        low = np.ones_like(low)
    level = level * constant[:, None, None]
    bias = None if bias is None or not bias.any() else _collapsed(bias)
    step = replace(step, inputs=tuple(n for n, _ in left), bias=bias)
    return step, _Known(out, level, constant, low, high)


def _pool(step: PoolStep, inputs: list[_Known], out: Shape) -> tuple[Step, _Known]:
    """Pooling: channels stay what they are; the maps of constant ones are pooled."""
    (source,) = inputs
    chosen = np.any(source.level, axis=(1, 2))
    level = _levels(None, out[0])
    if chosen.any():
        level = np.zeros(out)
        level[chosen] = _pooled(step, source.maps(chosen), out)
    return step, replace(source, shape=out, level=level)


def _pooled(step: PoolStep, maps: Array, out: Shape) -> Array:
    """Pools maps (C, H, W) as the runtime does."""
    (top, left), (rows, columns) = step.padding, step.kernel
    around = ((0, 0), (top, top), (left, left))
    fill = -np.inf if step.kind == "max" else 0.0
    padded = np.pad(maps, around, constant_values=fill)
    inside = np.pad(np.ones(maps.shape[1:]), around[1:])
    view = np.lib.stride_tricks.sliding_window_view
    stride = (slice(None, None, step.stride[0]), slice(None, None, step.stride[1]))
    seen = view(padded, (rows, columns), axis=(1, 2))[:, stride[0], stride[1]]
    under = view(inside, (rows, columns))[stride].sum(axis=(2, 3))
    count = rows * columns if step.count_include_pad else under
    pooled: Array = seen.max(axis=(3, 4)) if step.kind == "max" else seen.sum(axis=(3, 4)) / count
    return pooled


def _concat(step: ConcatStep, inputs: list[_Known], out: Shape) -> tuple[Step, _Known]:
    """Concatenation: what is known lies side by side too."""
    flags = [[getattr(k, name) for k in inputs] for name in ("constant", "low", "high")]
    levels = [k.level for k in inputs]
    if any(level.shape[1:] != (1, 1) for level in levels):
        levels = [k.maps() for k in inputs]
    return step, _Known(out, np.concatenate(levels), *(np.concatenate(f) for f in flags))


def _flatten(step: FlattenStep, inputs: list[_Known], out: Shape) -> tuple[Step, _Known]:
    """Flattening: every position of a channel is as the channel was."""
    (source,) = inputs
    times = out[0] // len(source.level)
    flags = (np.repeat(f, times) for f in (source.constant, source.low, source.high))
    level = source.maps().reshape(out)
    return step, _Known(out, level, *flags)


_RULES: dict[type, Callable[[Any, list[_Known], Shape], tuple[Step, _Known]]] = {
    ConvStep: _conv,
    AddStep: _add,
    PoolStep: _pool,
    ConcatStep: _concat,
    FlattenStep: _flatten,
}
