"""Reads the weights in a file as people have them: by a network's names, without running code."""

import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from lightprune.errors import InputError, first_line, first_of
from lightprune.files import check_readable
from lightprune.runs.pt2_file import read_pt2

# Under which keys trainers save a state dict, and what wrappers put before its names.
_KEYS = ("state_dict", "model_state_dict", "model", "network", "net", "module")
_WRAPPERS = ("model", "module", "network", "net")
_COMPILED = "_orig_mod."
# torchvision's files of its DenseNets have names of before torch 0.4: `norm.1` for `norm1`.
_DENSE_LAYER = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(?=[12]\.)")


def read_weights_file(
    file: Path,
    names: Collection[str],
    setting: str | None = None,
    prefix: str | None = None,
    option: str = "--prefix",
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Reads safetensors, `torch.export.save`'s, a saved state dict, or a checkpoint that holds one.

    Args:
        file: The file: a bare state dict, or one below a key of `_KEYS`, at any depth.
        names: Of the network's state dict. In the file they may stand behind `model.`, `module.`,
            `network.` and `net.`, in any order, or all behind any other, and have `_orig_mod.`
            anywhere; `NAME_orig` and `NAME_mask`, as torch.nn.utils.prune saves them, are read as
            the pruned `NAME`.
        setting: What messages begin with; None is the file.
        prefix: What the network's names stand behind, where the file holds several networks.
        option: What messages call it.

    Returns:
        The tensors by the network's names, with those of the network's own that it lacks; and the
        names in the file that are not behind what the others stand behind.

    Raises:
        InputError: The file does not exist, cannot be read without running code, or holds no state
            dict; or several networks of these names, and no prefix tells which.
    """
    setting = setting or str(file)
    tensors = _state_dict(_content(file, setting))
    if tensors is None:
        raise InputError(
            f"{setting}: holds no state dict; allowed is what network.state_dict() gives, tensors "
            f"by name, bare or as one of {', '.join(_KEYS)}"
        )
    if not any(_COMPILED in name for name in names):
        tensors = {name.replace(_COMPILED, ""): tensor for name, tensor in tensors.items()}
    tensors = {_DENSE_LAYER.sub(r"\1", name): tensor for name, tensor in tensors.items()}
    start = f"{prefix.removesuffix('.')}." if prefix else ""
    below = _below(start, tensors)
    if not below:
        parts = list(dict.fromkeys(name.partition(".")[0] for name in tensors))
        raise InputError(
            f"{option}={prefix}: no name in {file} begins with {start}; allowed are "
            f"{first_of(parts, 5)}"
        )
    first, *others = _prefixes(below, names)
    differing = [each for each in others if not _equal(_below(each, below), _below(first, below))]
    if differing:
        prefixes = [f"{start}{each}" for each in (first, *differing)]
        choices = [f"{option}={each.removesuffix('.')}" for each in prefixes]
        raise InputError(
            f"{setting}: holds {len(prefixes)} networks of these names, behind "
            f"{first_of(prefixes, 5)}; allowed is one of {first_of(choices, 5)}"
        )
    start += first
    outside = tuple(name for name in tensors if not name.startswith(start))
    return _with_masks_applied(_below(start, tensors), names), outside


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}


def _equal(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        first[n].dtype == second[n].dtype and torch.equal(first[n], second[n]) for n in first
    )


def _content(file: Path, setting: str) -> Any:
    check_readable(file, setting)
    allowed = "allowed are safetensors, or a state dict saved by torch.save"
    if not file.is_file():
        fault = "is a folder" if file.is_dir() else "no such file"
        raise InputError(f"{setting}: {fault}; {allowed}")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        if file.suffix == ".pt2":
            return read_pt2(file)
        with warnings.catch_warnings(action="ignore"):
            return torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        named = re.search(r"GLOBAL (\S+)", str(error))
        holds = f" (it names {named[1]})" if named else ""
        raise InputError(
            f"{setting}: cannot be read without running code from it{holds}; {allowed}, alone"
        ) from error
    except Exception as error:  # Damaged bytes make the readers fail in every way.
        is_program = "TorchScript" in str(error)  # torch advises to run what is in the file.
        reason = "it is a TorchScript program" if is_program else first_line(error)
        if isinstance(error, KeyError):  # A byte that begins nothing that pickle knows.
            reason = "it is of another format"
        raise InputError(f"{setting}: cannot be read ({reason}); {allowed}") from error


def _state_dict(content: Any) -> dict[str, Tensor] | None:
    """The tensors by name that a file holds, however deep; None if it holds none."""
    while isinstance(content, Mapping):
        if content and all(map(_is_named_tensor, content.items())):
            return {name: tensor.detach() for name, tensor in content.items()}
        content = next((content[key] for key in _KEYS if key in content), None)
    return None


def _is_named_tensor(item: tuple[Any, Any]) -> bool:
    name, value = item
    plain = isinstance(value, Tensor) and value.layout is torch.strided and not value.is_meta
    return plain and isinstance(name, str)


def _prefixes(tensors: Collection[str], names: Collection[str]) -> list[str]:
    """What the network's names may stand behind in a file.

    All that the names of all weights stand behind, but nothing else if they stand there bare. If
    none does: the shortest run of wrappers with the most of them.
    """

    def has(prefix: str, name: str) -> bool:
        return f"{prefix}{name}" in tensors or f"{prefix}{name}_orig" in tensors

    prefixes, weights = {"": True}, [n for n in names if not n.endswith(".num_batches_tracked")]
    for name in tensors:
        parts, is_wrapped = name.split("."), True
        for i, part in enumerate(parts[:-1], 1):
            is_wrapped &= part in _WRAPPERS
            prefixes[".".join(parts[:i]) + "."] = is_wrapped
    whole = [prefix for prefix in prefixes if all(has(prefix, name) for name in weights)]
    if whole:
        return whole[:1] if whole[0] == "" else whole
    runs = sorted((p for p, wrapped in prefixes.items() if wrapped), key=lambda p: (len(p), p))
    return [max(runs, key=lambda prefix: sum(has(prefix, name) for name in names))]


def _with_masks_applied(tensors: Mapping[str, Tensor], names: Collection[str]) -> dict[str, Tensor]:
    """The tensors with each NAME_orig and NAME_mask joined to the NAME of the network."""
    joined = dict(tensors)
    for name in names:
        pair = tensors.get(f"{name}_orig"), tensors.get(f"{name}_mask")
        if name in tensors or pair[0] is None or pair[1] is None or pair[0].shape != pair[1].shape:
            continue
        # A product would turn an infinite weight into NaN, and a negative one into -0.
        joined[name] = torch.where(pair[1] != 0, pair[0], pair[0].new_zeros(()))
        del joined[f"{name}_orig"], joined[f"{name}_mask"]
    return joined
