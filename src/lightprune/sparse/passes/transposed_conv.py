"""A transposed convolution as a convolution to more channels, and a gather of its pixels."""

from math import prod

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.ir.ops import ConvTranspose, Pair, Shape
from lightprune.sparse.ir.program import Array, ConvStep, GatherStep


def by_phases(
    op: ConvTranspose, weight: Array, bias: Array, in_shape: Shape, out_shape: Shape
) -> tuple[ConvStep, Shape, GatherStep]:
    """The convolution, the shape of its value, and the gather that makes the op's value of it.

    Rows of the result that lie a whole number of strides apart, a *phase*, read the same rows of
    the kernel: they are a convolution by themselves. Each phase is a channel, so that no weight
    is multiplied with zeros between the pixels. The shapes are those of its input and its value.
    """
    inputs, outputs, *_ = weight.shape
    # One more row and column, of zeros, for taps that a phase does not have.
    padded = np.pad(weight, ((0, 0), (0, 0), (0, 1), (0, 1)))
    (rows, above), (columns, left) = (_taps(op, axis) for axis in (0, 1))
    kernels = padded[:, :, rows[:, None, :, None], columns[None, :, None, :]]
    grouped = kernels.reshape(op.groups, inputs // op.groups, outputs, *kernels.shape[2:])
    by_output = np.moveaxis(grouped, 1, 4)
    phases = prod(op.stride)
    size = [-(-n // stride) for n, stride in zip(out_shape[1:], op.stride, strict=True)]
    padding: list[Pair] = [
        (before, n - 1 + len(taps[0]) - 1 - before - (extent - 1))
        for n, taps, before, extent in zip(
            size, (rows, columns), (above, left), in_shape[1:], strict=True
        )
    ]
    conv = ConvStep(
        f"{op.name}/phases",
        op.inputs,
        np.ascontiguousarray(by_output.reshape(op.channels * phases, -1, *kernels.shape[4:])),
        np.repeat(bias, phases),
        padding=(padding[0], padding[1]),
        groups=op.groups,
        layers=(op.weight.removesuffix(".weight"),),
    )
    y, x = np.indices(out_shape[1:])
    phase = y % op.stride[0] * op.stride[1] + x % op.stride[1]
    pixel = y // op.stride[0] * size[1] + x // op.stride[1]
    indices = (phase * prod(size) + pixel).astype(np.int32)
    gather = GatherStep(op.name, (conv.value,), indices, phases)
    return conv, (op.channels * phases, size[0], size[1]), gather


def _taps(op: ConvTranspose, axis: int) -> tuple[NDArray[np.int64], int]:
    """The row of the kernel by phase and tap; how many rows before an output's the first tap reads.

    Row stride * u + phase of the result adds up, for all m, the input's row u - m times the
    kernel's row stride * m + phase + padding. One beyond the kernel's last stands for none.
    """
    kernel, stride, pad = op.kernel[axis], op.stride[axis], op.padding[axis]
    first, last = -((stride - 1 + pad) // stride), (kernel - 1 - pad) // stride
    rows = stride * np.arange(last, first - 1, -1) + np.arange(stride)[:, None] + pad
    return np.where((rows >= 0) & (rows < kernel), rows, kernel), last
