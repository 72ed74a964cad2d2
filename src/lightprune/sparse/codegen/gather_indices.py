"""Tables by position that the kernels read: where windows and planes lie, and biases."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.codegen.input_packing import PackedInput, tap_coordinates
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import ConvStep, PoolStep
from lightprune.sparse.isa.register_blocks import LANES


def pool_indices(step: PoolStep, shape: Shape, width: int) -> NDArray[np.int32]:
    """(kernel columns, positions): where a window's columns lie in rows of maxima, or -1."""
    _, rows, columns = shape
    size = -(-rows * columns // LANES) * LANES
    y, x = np.divmod(np.arange(size), columns)
    found = np.full((step.kernel[1], size), -1, np.int32)
    for number, indices in enumerate(found):
        column = x * step.stride[1] + number - step.padding[1]
        within = (y < rows) & (column >= 0) & (column < width)
        indices[within] = (y * width + column)[within]
    # The first column of a window may lie in the padding, where nothing is to be compared with.
    for number in range(1, len(found)):
        found[0] = np.where(found[0] < 0, found[number], found[0])
    return found


def used_planes(sorting: PackedInput, steps: Sequence[ConvStep]) -> NDArray[np.bool_]:
    """(channels, planes): which planes of a sorted value any weight of the steps reads."""
    inputs = steps[0].weight.shape[1] * steps[0].groups
    read = np.zeros((inputs, sorting.planes), np.bool_)
    for step in steps:
        outputs, width = step.weight.shape[:2]
        there = (step.weight != 0).reshape(step.groups, outputs // step.groups, width, -1)
        by_tap = np.logical_or.reduce(there, axis=1).reshape(inputs, -1)
        for tap, place in enumerate(tap_coordinates(step)):
            read[:, sorting.tap(*place)[0]] |= by_tap[:, tap]
    return read


def used_vectors(planes: NDArray[np.bool_], apart: int, plane: int) -> NDArray[np.bool_]:
    """(channels, vectors): which vectors hold a plane that is read, or a part of one.

    Args:
        planes: (channels, planes), which are read.
        apart: Planes from one channel to the next.
        plane: Positions from one plane to the next.
    """
    padded = np.pad(planes, ((0, 0), (0, apart - planes.shape[1])))
    vectors: NDArray[np.bool_] = padded.reshape(len(planes), -1, max(1, LANES // plane)).max(2)
    return vectors.repeat(max(1, plane // LANES), axis=1)


def broadcast_bias(bias: NDArray[np.floating], width: int, unit: int) -> NDArray[np.float32]:
    """A bias (C,), or one by position as rows of `width` like those it is added to."""
    if bias.ndim == 1:
        return np.asarray(bias, np.float32)
    if unit > 1:
        return np.repeat(np.asarray(bias, np.float32), unit, axis=-1)
    rows = np.zeros((len(bias), width), np.float32)
    rows[:, : bias[0].size] = bias.reshape(len(bias), -1)
    return rows
