"""Index tables that copy plans are made from, and biases broadcast to rows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.codegen.input_packing import PackedInput, tap_coordinates
from lightprune.sparse.ir.ops import Shape
from lightprune.sparse.ir.program import ConvStep, PoolStep
from lightprune.sparse.isa.register_blocks import LANES


def pool_indices(step: PoolStep, shape: Shape, width: int) -> NDArray[np.int32]:
    """Which row maxima a single image's pooling takes the maximum of.

    `shape` is that of its output, `width` that of its input.

    Returns:
        (kernel columns, pixels in whole vectors): index in rows of `width` maxima, or -1.
    """
    _, rows, columns = shape
    size = -(-rows * columns // LANES) * LANES
    y, x = np.divmod(np.arange(size), columns)
    indices = np.full((step.kernel[1], size), -1, np.int32)
    for offset, row in enumerate(indices):
        column = x * step.stride[1] + offset * step.dilation[1] - step.padding[1]
        inside = (y < rows) & (column >= 0) & (column < width)
        row[inside] = (y * width + column)[inside]
    # The first column of a window may lie in the padding, but initializes the maximum.
    for row in indices[1:]:
        indices[0] = np.where(indices[0] < 0, row, indices[0])
    return indices


def used_planes(packed: PackedInput, steps: Sequence[ConvStep]) -> NDArray[np.bool_]:
    """(channels, planes): which planes of a packed input any weight of the steps reads."""
    inputs = steps[0].weight.shape[1] * steps[0].groups
    used = np.zeros((inputs, packed.planes), np.bool_)
    for step in steps:
        outputs, width = step.weight.shape[:2]
        nonzero = (step.weight != 0).reshape(step.groups, outputs // step.groups, width, -1)
        by_tap = np.logical_or.reduce(nonzero, axis=1).reshape(inputs, -1)
        for tap, coordinates in enumerate(tap_coordinates(step)):
            used[:, packed.locate(*coordinates)[0]] |= by_tap[:, tap]
    return used


def used_vectors(
    planes: NDArray[np.bool_], padded_planes: int, plane_stride: int
) -> NDArray[np.bool_]:
    """(channels, vectors): which vectors hold a plane that is used, or a part of one.

    `planes` says which are, (channels, planes); `padded_planes` lie between channels, and
    `plane_stride` pixels between planes.
    """
    padded = np.pad(planes, ((0, 0), (0, padded_planes - planes.shape[1])))
    planes_per_vector = max(1, LANES // plane_stride)
    vectors: NDArray[np.bool_] = padded.reshape(len(planes), -1, planes_per_vector).max(2)
    return vectors.repeat(max(1, plane_stride // LANES), axis=1)


def broadcast_bias(
    bias: NDArray[np.floating], width: int, images_per_vector: int
) -> NDArray[np.float32]:
    """A bias (C,), or (C, H, W) as rows of `width` values like those it is added to."""
    if bias.ndim == 1:
        return np.asarray(bias, np.float32)
    if images_per_vector > 1:
        return np.repeat(np.asarray(bias, np.float32), images_per_vector, axis=-1)
    rows = np.zeros((len(bias), width), np.float32)
    rows[:, : bias[0].size] = bias.reshape(len(bias), -1)
    return rows
