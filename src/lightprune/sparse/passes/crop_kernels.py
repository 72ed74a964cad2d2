"""Kernels cropped to the taps that multiply data with something other than zero."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lightprune.pruning.mac_counts import live_positions
from lightprune.sparse.ir.ops import Pair, Shape
from lightprune.sparse.ir.program import ConvStep


def crop_kernel(step: ConvStep, seen: Shape, out: Shape) -> ConvStep:
    """The same convolution with the smallest kernel, and with padding to match.

    Taps that no input reaches are set to zero; rows and columns of taps at the kernel's edge that
    are zero in every weight are cut off.

    Args:
        step: A convolution.
        seen: (C, H, W) of its input.
        out: (O, H', W') of its value.
    """
    weight = step.weight
    padding: list[Pair] = []
    for axis in (0, 1):
        stride, dilation = step.stride[axis], step.dilation[axis]
        (pad, _), taps = step.padding[axis], weight.shape[2 + axis]
        live = live_positions(seen[1 + axis], taps, stride, pad, dilation, out[1 + axis])
        along = np.moveaxis(weight, 2 + axis, 0)
        # Most taps show in the first few channels.
        used = [tap for tap in live if along[tap, :8].any() or along[tap].any()]
        # One tap has to stay, even where none reaches the input.
        first, last = (used[0], used[-1]) if used else (0, 0)
        along = along[first : last + 1]
        if unused := [tap for tap in range(first, last + 1) if tap not in used]:
            along = along.copy()
            along[[tap - first for tap in unused]] = 0
        weight = np.moveaxis(along, 0, 2 + axis)
        before = pad - first * dilation
        reach = (out[1 + axis] - 1) * stride + (last - first) * dilation
        padding.append((before, reach - before - (seen[1 + axis] - 1)))
    return replace(
        step,
        weight=np.ascontiguousarray(weight),
        padding=(padding[0], padding[1]),
    )


def in_any_tap(flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Flags of weights (O, C, kh, kw) as flags of their channels (O, C)."""
    found = np.zeros(flags.shape[:2], np.bool_)
    # Tap by tap: numpy reduces over axes as short as a kernel's several times slower.
    for i, j in np.ndindex(*flags.shape[2:]):
        found |= flags[:, :, i, j]
    return found
