"""What inputs a compiled module takes, and the lines that refuse others."""

from typing import Any

import torch
from torch import Tensor

from lightprune.errors import InputError


def unlike(inputs: tuple[Any, ...], example: tuple[Tensor, ...]) -> str:
    """The line for inputs that do not fit the example."""
    actual, expected = (
        ", ".join(kind_of(t, f"{tuple(getattr(t, 'shape', ()))} ") for t in tensors)
        for tensors in (inputs, example)
    )
    return f"inputs are {actual or 'missing'}: compiled for {expected}"


def kind_of(tensor: Any, shape: str = "") -> str:
    """A tensor's layout, dtype, the shape that is given, and device; the type of anything else."""
    if not isinstance(tensor, Tensor):
        return type(tensor).__name__
    layout = "" if tensor.layout is torch.strided else f"{tensor.layout} "
    return f"{layout}{tensor.dtype} {shape}on {tensor.device}".replace("torch.", "")


def check_inputs(name: str, inputs: tuple[Tensor, ...]) -> None:
    """Raises InputError, which says what it is by `name`, for what a module does not take."""
    for tensor in inputs:
        if not isinstance(tensor, Tensor):
            raise InputError(f"{name}: {type(tensor).__name__}: allowed are tensors")
        if name == "example" and not tensor.numel():
            raise InputError(f"{name}: of shape {tuple(tensor.shape)}: allowed is one with values")
        is_float32 = tensor.dtype == torch.float32 or not tensor.is_floating_point()
        if not (tensor.is_cpu and is_float32 and tensor.layout is torch.strided):
            raise InputError(f"{name}: {kind_of(tensor)}: allowed is float32 on the CPU")
