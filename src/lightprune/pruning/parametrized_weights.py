"""Weights that a parametrization or a hook computes: which parameter has the same zeros."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightprune.errors import InputError
from lightprune.pruning.eval_mode import eval_mode

_TRIALS = 6


@dataclass(frozen=True)
class Original:
    """The parameter that a weight is computed from, and whose zeros are the weight's zeros.

    Attributes:
        name: Its name in the layer.
        parameter: Of the weight's shape.
        normed_axis: The weight is finite only if each slice along this axis keeps an entry, as
            with `weight_norm`, which divides by the norm of the slice; -1 if the whole tensor must
            keep one, None if none is needed.
    """

    name: str
    parameter: nn.Parameter
    normed_axis: int | None


def layer_tensors(layer: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """The tensors that a layer's forward reads by attribute: parameters and computed weights."""
    yield from layer.named_parameters(recurse=False)
    names = [*getattr(layer, "parametrizations", ())]
    names += [_hooked_name(hook) for hook in layer._forward_pre_hooks.values()]
    # A parametrization may count how often it computes in training mode, as spectral_norm does.
    with eval_mode(layer):
        for name in names:
            if isinstance(weight := getattr(layer, name, None), Tensor):
                yield name, weight


def original_of(layer: nn.Module, name: str) -> Original | None:
    """The parameter whose zeros are the zeros of the weight `name`, found by trying.

    None for a weight that is a parameter itself, and where no parameter is of that kind. The layer
    is as it was afterwards.
    """
    weight = getattr(layer, name, None)
    if name in layer._parameters or weight is None:
        return None
    parametrized = getattr(layer, "parametrizations", {})
    if name in parametrized:
        prefix = f"parametrizations.{name}."
        candidates = dict(parametrized[name].named_parameters(recurse=False))
    else:
        prefix = ""
        named = layer.named_parameters(recurse=False)
        candidates = {n: p for n, p in named if re.fullmatch(f"{name}_(v|orig)", n)}
    for candidate, parameter in candidates.items():
        if parameter.shape == weight.shape and _have_same_zeros(layer, name, parameter):
            axis = _normed_axis(layer, name, parameter)
            return Original(prefix + candidate, parameter, axis)
    return None


def normed_axes(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, int]:
    """`Original.normed_axis` by name, of those of `weights` that have one."""
    names = {id(weight): name for name, weight in weights.items()}
    axes = {}
    for layer in network.modules():
        for name, _ in layer_tensors(layer):
            original = original_of(layer, name)
            if original and original.normed_axis is not None and id(original.parameter) in names:
                axes[names[id(original.parameter)]] = original.normed_axis
    return axes


@torch.no_grad()
def largest_of_slices(weight: Tensor, mask: Tensor, axis: int) -> Tensor:
    """Marks the largest kept entry of each slice along an axis, of the whole tensor for -1."""
    magnitudes = weight.abs().masked_fill(~mask, -1)
    slices = magnitudes.movedim(axis, 0).flatten(1) if axis >= 0 else magnitudes.flatten()[None]
    marks = torch.zeros_like(slices, dtype=torch.bool)
    marks.scatter_(1, slices.argmax(1, keepdim=True), True)
    if axis < 0:
        return marks.view(weight.shape)
    others = [size for other, size in enumerate(weight.shape) if other != axis]
    return marks.view(len(marks), *others).movedim(0, axis)


def check_slices(masks: Mapping[str, Tensor], axes: Mapping[str, int]) -> None:
    """Raises InputError if masks leave nothing of a slice by whose norm a weight is divided."""
    for name, axis in axes.items():
        entries = masks[name].movedim(axis, 0) if axis >= 0 else masks[name][None]
        if not entries.flatten(1).any(1).all():
            raise InputError(
                f"{name}: nothing would be left of a slice by whose norm the weight is divided; "
                "allowed is a lower sparsity, or targets that exclude this layer"
            )


def _have_same_zeros(layer: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    generator = torch.Generator().manual_seed(0)
    for _ in range(_TRIALS):
        kept = torch.rand(parameter.shape, generator=generator) < 0.6
        for size in kept.shape:  # An entry in every slice, which a norm may divide by.
            diagonal = torch.arange(size)
            kept[tuple(diagonal % other for other in kept.shape)] = True
        values = (torch.rand(kept.shape, generator=generator) + 0.5) * kept
        weight = _weight_at(layer, name, parameter, values)
        if not weight.isfinite().all() or not torch.equal(weight.cpu() != 0, kept):
            return False
    return True


def _normed_axis(layer: nn.Module, name: str, parameter: nn.Parameter) -> int | None:
    """`Original.normed_axis`: which zeros make the weight infinite or NaN."""
    for axis in range(parameter.dim()):
        values = torch.ones(parameter.shape)
        values.select(axis, 0).zero_()
        if not _weight_at(layer, name, parameter, values).isfinite().all():
            return axis
    zeros = torch.zeros(parameter.shape)
    return None if _weight_at(layer, name, parameter, zeros).isfinite().all() else -1


@torch.no_grad()
def _weight_at(layer: nn.Module, name: str, parameter: nn.Parameter, values: Tensor) -> Tensor:
    trained, attribute = parameter.clone(), vars(layer).get(name)
    with eval_mode(layer):
        try:
            parameter.copy_(values)
            return _compute(layer, name).clone()
        finally:
            parameter.copy_(trained)
            if attribute is not None:  # Where a hook keeps what it computed.
                setattr(layer, name, attribute)


def _compute(layer: nn.Module, name: str) -> Tensor:
    """Computes a weight anew, as a forward pass does."""
    if name in getattr(layer, "parametrizations", ()):
        weight: Tensor = layer.get_submodule(f"parametrizations.{name}")()
        return weight
    for hook in layer._forward_pre_hooks.values():
        if _hooked_name(hook) == name:
            hook(layer, ())
    computed: Tensor = getattr(layer, name)
    return computed


def _hooked_name(hook: object) -> str:
    """The weight that one of torch's hooks computes (`weight_norm`, `nn.utils.prune`), or ""."""
    return str(getattr(hook, "name", getattr(hook, "_tensor_name", "")))
