"""Weights in reduced precision: fp16, or quantized to int8 with one scale a channel."""

from collections.abc import Mapping
from typing import TypeGuard

import numpy as np
from numpy.typing import NDArray

from lightprune.errors import InputError

Array = NDArray[np.generic]
Scales = NDArray[np.float32]
_LARGEST_INT8 = 127


def is_weight(tensor: Array) -> TypeGuard[NDArray[np.float32]]:
    """Whether a tensor is stored in fewer bits: biases and batch norms, which are few, are not."""
    return tensor.dtype == np.float32 and tensor.ndim > 1


def to_fp16(name: str, weight: NDArray[np.float32]) -> NDArray[np.float16]:
    """The weight in fp16.

    Raises:
        InputError: It holds a number that is too large for it.
    """
    with np.errstate(over="ignore"):
        narrow = np.ascontiguousarray(weight).astype(np.float16)
    if (np.isinf(narrow) & np.isfinite(weight)).any():
        raise InputError(
            f"{name}: holds {np.abs(weight[np.isfinite(weight)]).max():g}, which fp16 cannot; "
            "allowed are magnitudes up to 65504 (--values fp32 keeps every weight)"
        )
    return narrow


def to_int8(name: str, weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], Scales]:
    """The weight as integers in [-127, 127], and the scale of each index of its first axis.

    Zero stays zero; a scale is the channel's largest magnitude by 127, so that no weight changes by
    more than half of it.

    Raises:
        InputError: It holds NaN or infinity.
    """
    if not np.isfinite(weight).all():
        raise InputError(
            f"{name}: holds NaN or infinity, which int8 cannot; allowed are finite weights "
            "(--values fp32 keeps every weight)"
        )
    channels = weight.reshape(len(weight), int(np.prod(weight.shape[1:])))
    scales = (np.abs(channels).max(axis=1, initial=0) / _LARGEST_INT8).astype(np.float32)
    # In float64, as the ratio to a scale that is denormal would be far off in float32.
    steps = channels / np.where(scales > 0, scales, 1).astype(np.float64)[:, None]
    rounded = np.rint(steps).clip(-_LARGEST_INT8, _LARGEST_INT8).astype(np.int8)
    return rounded.reshape(weight.shape), scales


def from_int8(values: NDArray[np.int8], scales: Scales) -> NDArray[np.float32]:
    """The weight in float32, shape (channels, ...), of its integers and scales, (channels,).

    Raises:
        ValueError: A scale is negative or not finite.
    """
    if not (np.isfinite(scales).all() and (scales >= 0).all()):
        raise ValueError("a scale is negative or not finite")
    return values * scales.reshape(-1, *(1,) * (values.ndim - 1))


def as_stored(state: Mapping[str, Array], values: str) -> dict[str, Array]:
    """A state dict as it comes back from a file that stores weights as `fp16` or `int8`.

    Raises:
        InputError: As `to_fp16` and `to_int8`.
    """

    def restored(name: str, tensor: Array) -> Array:
        if not is_weight(tensor):
            return tensor
        if values == "int8":
            return from_int8(*to_int8(name, tensor))
        return to_fp16(name, tensor).astype(np.float32)

    return {name: restored(name, tensor) for name, tensor in state.items()}
