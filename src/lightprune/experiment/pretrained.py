"""One's own dense weights: read without running code, and held against the network."""

import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from lightprune.errors import InputError, first_line, nearest
from lightprune.training.setup import Setup


def load_pretrained(lab: Setup, path: Path) -> dict[str, Tensor]:
    """Reads one's own weights: safetensors, or a state dict saved by torch.

    Raises:
        InputError: The file is not there, not readable without running code, or of another
            network.
    """
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
    if not isinstance(state, dict) or not all(map(_named_weight, state.items())):
        raise InputError(
            f"dense.checkpoint={path}: holds no state dict; allowed is what network.state_dict() "
            "gives: tensors by name"
        )
    expected = lab.new_network().state_dict()
    for name in [*expected, *state]:
        _check_weight(path, name, state, expected)
    return state


def _named_weight(item: tuple[Any, Any]) -> bool:
    name, value = item
    plain = isinstance(value, Tensor) and value.layout is torch.strided and not value.is_meta
    return plain and isinstance(name, str)


def _check_weight(
    path: Path, name: str, state: dict[str, Tensor], expected: dict[str, Tensor]
) -> None:
    """Raises InputError unless a tensor of `state` fits the network, and is finite there."""
    theirs, mine = state.get(name), expected.get(name)
    if theirs is None or mine is None or theirs.shape != mine.shape:
        near = nearest(name, [] if name in state else state)
        raise InputError(
            f"dense.checkpoint={path}: is of another network: {name} is "
            f"{_shape(theirs)} there and {_shape(mine)} here{near}"
        )
    if theirs.is_floating_point() != mine.is_floating_point():
        raise InputError(
            f"dense.checkpoint={path}: {name} is of {theirs.dtype} there and {mine.dtype} here; "
            "allowed are weights of the network's own kind"
        )
    if not theirs.to(mine.dtype).isfinite().all():
        raise InputError(
            f"dense.checkpoint={path}: {name} holds NaN or infinite weights; allowed are finite "
            "ones"
        )


def _shape(value: Tensor | None) -> str:
    return "missing" if value is None else str(tuple(value.shape))
