"""Kernels cropped to the taps that multiply data with something other than zero."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lightprune.pruning.reachability import live_positions
from lightprune.sparse.ir.ops import Pair, Shape
from lightprune.sparse.ir.program import ConvStep, Program


def crop_kernels(program: Program) -> Program:
    """Gives every convolution the smallest kernel that computes the same."""
    shapes = program.shapes
    return program.with_steps(
        crop_kernel(step, shapes[step.input], shapes[step.value])
        if isinstance(step, ConvStep)
        else step
        for step in program.steps
    )


def crop_kernel(step: ConvStep, in_shape: Shape, out_shape: Shape) -> ConvStep:
    """The same convolution with the smallest kernel, and with padding to match.

    Taps that meet nothing but padding are set to zero; rows and columns at the kernel's edge that
    are zero in every weight are cut off. The shapes are those of its input and of its value.
    """
    weight = step.weight
    padding: list[Pair] = []
    for axis in (0, 1):
        stride, dilation = step.stride[axis], step.dilation[axis]
        size, out = in_shape[1 + axis], out_shape[1 + axis]
        (pad, _), extent = step.padding[axis], weight.shape[2 + axis]
        live = live_positions(size, extent, stride, pad, dilation, out)
        along = np.moveaxis(weight, 2 + axis, 0)
        # Most taps are non-zero in one of the first few channels.
        used = [tap for tap in live if along[tap, :8].any() or along[tap].any()]
        # A kernel keeps one tap even where none meets the input.
        first, last = (used[0], used[-1]) if used else (0, 0)
        along = along[first : last + 1]
        if unused := [tap for tap in range(first, last + 1) if tap not in used]:
            along = along.copy()
            along[[tap - first for tap in unused]] = 0
        weight = np.moveaxis(along, 0, 2 + axis)
        before = pad - first * dilation
        reach = (out - 1) * stride + (last - first) * dilation
        padding.append((before, reach - before - (size - 1)))
    return replace(step, weight=np.ascontiguousarray(weight), padding=(padding[0], padding[1]))


def any_over_taps(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Flags of weights (O, C, kh, kw) reduced to flags of channel pairs (O, C)."""
    result = np.zeros(flags.shape[:2], np.bool_)
    # Tap by tap: numpy reduces over axes as short as a kernel's several times slower.
    for i, j in np.ndindex(*flags.shape[2:]):
        result |= flags[:, :, i, j]
    return result
