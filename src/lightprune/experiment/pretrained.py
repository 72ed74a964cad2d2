"""Reads a file of your own dense weights, without running code from it, and checks it."""

import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from lightprune.errors import InputError, first_line, nearest
from lightprune.files import check_readable
from lightprune.training.setup import Setup


def load_pretrained(setup: Setup, path: Path) -> dict[str, Tensor]:
    """Reads `dense.checkpoint`: safetensors, or a state dict saved by `torch.save`.

    Raises:
        InputError: The file does not exist, cannot be read without running code, or does not fit
            the network.
    """
    check_readable(path, f"dense.checkpoint={path}")
    if not path.is_file():
        raise InputError(f"dense.checkpoint={path}: no such file; allowed is a saved state dict")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            with warnings.catch_warnings(action="ignore"):
                state = torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise InputError(
            f"dense.checkpoint={path}: cannot be read without running code from it; allowed are "
            "safetensors, or a state dict saved by torch.save"
        ) from error
    except Exception as error:  # Damaged bytes make the readers fail in every way.
        reason = first_line(error)
        raise InputError(
            f"dense.checkpoint={path}: cannot be read ({reason}); allowed are safetensors, or a "
            "state dict saved by torch.save"
        ) from error
    if not isinstance(state, dict) or not all(map(_is_named_tensor, state.items())):
        raise InputError(
            f"dense.checkpoint={path}: holds no state dict; allowed is what network.state_dict() "
            "gives: tensors by name"
        )
    expected = setup.new_network().state_dict()
    for name in [*expected, *state]:
        _check_weight(path, name, state, expected)
    return state


def _is_named_tensor(item: tuple[Any, Any]) -> bool:
    name, value = item
    plain = isinstance(value, Tensor) and value.layout is torch.strided and not value.is_meta
    return plain and isinstance(name, str)


def _check_weight(
    path: Path, name: str, state: dict[str, Tensor], expected: dict[str, Tensor]
) -> None:
    """Raises InputError unless a tensor has the network's shape and kind, and is finite."""
    actual, wanted = state.get(name), expected.get(name)
    if actual is None or wanted is None or actual.shape != wanted.shape:
        near = nearest(name, [] if name in state else state)
        raise InputError(
            f"dense.checkpoint={path}: is of another network: {name} is "
            f"{_shape(actual)} there and {_shape(wanted)} here{near}"
        )
    if actual.is_floating_point() != wanted.is_floating_point():
        raise InputError(
            f"dense.checkpoint={path}: {name} is of {actual.dtype} there and {wanted.dtype} here; "
            "allowed are weights of the network's dtype"
        )
    if not actual.to(wanted.dtype).isfinite().all():
        raise InputError(
            f"dense.checkpoint={path}: {name} holds NaN or infinite weights; allowed are finite "
            "ones"
        )


def _shape(value: Tensor | None) -> str:
    return "missing" if value is None else str(tuple(value.shape))
