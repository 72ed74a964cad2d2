"""Channels that nothing reads any more: found backwards from the output, and cut out."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import (
    AddStep,
    ConcatStep,
    ConvStep,
    FlattenStep,
    Step,
)
from lightprune.sparse.passes.crop_kernels import in_any_tap

_Kept = dict[str, NDArray[np.bool_]]


def eliminate_dead_channels(
    steps: list[Step], shapes: Mapping[str, Shape], output: str
) -> tuple[list[Step], dict[str, Shape]]:
    """Removes every channel that no weight reads on its way to the output.

    Values that are added, pooled or scaled channel by channel keep the same channels: one that
    any of them needs stays in all. Images and the output stay whole.

    Args:
        steps: Steps in order, before fusion: no residuals.
        shapes: (C, H, W) of every value.
        output: The value that the network returns.

    Returns:
        The steps that are left, and the shapes of their values. A convolution of which only
        constant channels are left is an AddStep of its bias alone.
    """
    kept = {name: np.zeros(shape[0], dtype=np.bool_) for name, shape in shapes.items()}
    kept[INPUT][:] = kept[output][:] = True
    reads = {s.value: in_any_tap(s.weight != 0) for s in steps if isinstance(s, ConvStep)}
    count = -1
    # Each rule only ever adds channels, so that this ends: after few rounds, since one sweep
    # back and one forward carry a channel along any chain of steps.
    while count != (count := sum(int(k.sum()) for k in kept.values())):
        for step in (*reversed(steps), *steps):
            _need(step, kept, reads)
    left = [_sliced(step, kept) for step in steps if kept[step.value].any()]
    sizes = {name: (int(kept[name].sum()), *shape[1:]) for name, shape in shapes.items()}
    return left, {name: sizes[name] for name in (INPUT, *(step.value for step in left))}


def _need(step: Step, kept: _Kept, reads: _Kept) -> None:
    """Adds the channels that a step makes necessary: read by it, or tied by it to others."""
    out = kept[step.value]
    if isinstance(step, ConvStep) and step.groups == 1:
        kept[step.input] |= reads[step.value][out].any(axis=0)
    elif isinstance(step, ConvStep) and not _channelwise(step, kept):
        out[:] = kept[step.input][:] = True
    elif isinstance(step, FlattenStep):
        source = kept[step.input]
        source |= out.reshape(len(source), -1).any(axis=1)
        out[:] = np.repeat(source, len(out) // len(source))
    elif isinstance(step, ConcatStep):
        ends = accumulate(len(kept[name]) for name in step.inputs)
        for name, end in zip(step.inputs, ends, strict=True):
            part = out[end - len(kept[name]) : end]
            kept[name] |= part
            part |= kept[name]
    else:
        for name in step.inputs:
            out |= kept[name]
        for name in step.inputs:
            kept[name] |= out


def _channelwise(step: ConvStep, kept: _Kept) -> bool:
    """Whether a convolution takes every channel from the same channel alone."""
    return step.groups == len(kept[step.value]) == len(kept[step.input])


def _sliced(step: Step, kept: _Kept) -> Step:
    """A step on the channels that are left."""
    out = kept[step.value]
    if isinstance(step, ConvStep):
        source = kept[step.input]
        if not source.any():
            # Only its constant channels are still needed.
            return AddStep(step.value, (), step.bias[out], relu=False)
        if out.all() and source.all():
            return step
        weight = step.weight[out]
        if step.groups == 1:
            return replace(step, weight=weight[:, source], bias=step.bias[out])
        return replace(step, weight=weight, bias=step.bias[out], groups=len(weight))
    if isinstance(step, AddStep) and step.bias is not None:
        return replace(step, bias=step.bias[out])
    if isinstance(step, ConcatStep):
        return replace(step, inputs=tuple(name for name in step.inputs if kept[name].any()))
    return step
