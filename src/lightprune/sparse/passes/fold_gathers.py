"""Gathers of pixels folded into the padding and stride of convolutions, or into one another."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.ir.ops import Pair, Shape
from lightprune.sparse.ir.program import (
    ActivationStep,
    AddStep,
    ConvStep,
    GatherStep,
    Program,
    Step,
    grid_indices,
)
from lightprune.sparse.passes.fuse import count_readers, is_scale


def fold_gathers(program: Program) -> Program:
    """Lets steps that read gathered pixels read what those are gathered from, where they can.

    Zeros around a map become a convolution's padding, and rows or columns that are cut off negative
    padding; a pointwise convolution takes every so many pixels by its stride.
    What treats every number of a channel alike comes before a gather that does not shrink the map:
    there it may join the convolution before, and has fewer pixels to do.
    """
    steps: dict[str, Step] = {}
    shapes, readers = dict(program.shapes), count_readers(program)
    for step in program.steps:
        source = steps.get(step.input) if step.inputs else None
        if isinstance(source, GatherStep):
            if isinstance(step, GatherStep) and step.planes == 1:
                indices = np.where(step.indices < 0, -1, source.indices.reshape(-1)[step.indices])
                step = GatherStep(step.value, source.inputs, indices, source.planes)
            elif readers[source.value] == 1 and _may_come_before(step, source, shapes):
                shapes[source.value] = shapes[source.input]
                steps[source.value] = _before(step, source)
                step = replace(source, value=step.value, inputs=(source.value,))
            elif isinstance(step, ConvStep) and source.planes == 1:
                step = _on_source(step, source, shapes[source.input])
        steps[step.value] = step
    return replace(program, shapes=shapes).with_steps(steps.values())


def _may_come_before(step: Step, source: GatherStep, shapes: Mapping[str, Shape]) -> bool:
    alike = (
        isinstance(step, ActivationStep)
        or (isinstance(step, AddStep) and step.bias is None and len(step.inputs) == 1)
        or (isinstance(step, ConvStep) and is_scale(step))
    )
    read = source.planes * prod(shapes[source.input][1:])
    return alike and source.indices.min() >= 0 and source.indices.size >= read


def _before(step: Step, source: GatherStep) -> Step:
    """The step on what the pixels are gathered from, as the value that was the gather's."""
    step = replace(step, value=source.value, inputs=source.inputs)
    if isinstance(step, ConvStep):
        weight, bias = (
            np.repeat(array, source.planes, axis=0) for array in (step.weight, step.bias)
        )
        return replace(step, weight=weight, bias=bias, groups=len(weight))
    return step


def _on_source(step: ConvStep, source: GatherStep, shape: Shape) -> ConvStep:
    """The convolution on what its input is gathered from, of that shape; as it is if none is."""
    _, *size = shape
    rows, columns = source.indices.max(axis=1), source.indices.max(axis=0)
    rows = np.where(rows < 0, -1, rows // size[1])
    columns = np.where(columns < 0, -1, columns % size[1])
    windows = zip(step.weight.shape[2:], step.stride, step.padding, strict=True)
    vertical, horizontal = (
        _on_axis(numbers, extent, *window)
        for numbers, extent, window in zip((rows, columns), size, windows, strict=True)
    )
    is_grid = np.array_equal(source.indices, grid_indices(rows, columns, size[1]))
    if vertical is None or horizontal is None or not is_grid:
        return step
    return replace(
        step,
        inputs=(source.input, *step.inputs[1:]),
        stride=(vertical[0], horizontal[0]),
        padding=(vertical[1], horizontal[1]),
    )


def _on_axis(
    numbers: NDArray[np.int64], extent: int, kernel: int, stride: int, padding: Pair
) -> tuple[int, Pair] | None:
    """The stride and padding by which a convolution reads what rows, or columns, are gathered from.

    `numbers` are the rows of `extent` that each is, -1 for zeros; kernel, stride and padding those
    of the convolution on the gathered ones.
    """
    inside = np.flatnonzero(numbers >= 0)
    if not len(inside):
        return None
    run = numbers[inside[0] : inside[-1] + 1]
    step = int(run[1] - run[0]) if len(run) > 1 else 1
    if step < 1 or not np.array_equal(run, run[0] + step * np.arange(len(run))):
        return None
    zeros = int(inside[0]), len(numbers) - 1 - int(inside[-1])
    cut = int(run[0]), extent - 1 - int(run[-1])
    around = [pad + more for pad, more in zip(padding, zeros, strict=True)]
    if step > 1 and kernel == 1 and max(around) <= 0 and not padding[0]:
        return stride * step, (-cut[0], step * around[1] - cut[1])
    # Beyond what is cut off lies the map, where there have to be zeros.
    if step > 1 or any(pad > 0 and lost for pad, lost in zip(around, cut, strict=True)):
        return None
    return stride, (around[0] - cut[0], around[1] - cut[1])
