"""Known networks with fewer channels: what filter pruning leaves, under the same names."""

from collections.abc import Sequence
from typing import Any

from torch import nn

from lightprune.errors import InputError
from lightprune.models.registry import builder_of

# What a layer's extents are called, in the order in which they are listed.
_EXTENTS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: ("out_channels", "in_channels"),
    nn.Linear: ("out_features", "in_features"),
    nn.BatchNorm2d: ("num_features",),
}


def slim_network(
    num_classes: int, base: str, channels: Sequence[int], **settings: Any
) -> nn.Module:
    """A network whose layers have been given fewer channels.

    Args:
        num_classes: Logits.
        base: The dotted name of what builds the whole network.
        channels: Outputs and inputs of every convolution and linear layer, and channels of every
            batch norm, in the order of the network's modules: `channel_counts` of what it shall be.
        settings: What else the base takes.

    Raises:
        InputError: The base is not known, or `channels` are not such numbers of it.
    """
    try:
        build = builder_of(base)
    except InputError as error:
        raise InputError(
            f"base={base}: allowed are the networks of torchvision.models and of lightprune.models"
        ) from error
    network = build(num_classes=num_classes, **settings)
    whole = channel_counts(network)
    fit = len(channels) == len(whole) and all(
        type(here) is int and 0 < here <= there for here, there in zip(channels, whole, strict=True)
    )
    if not fit:
        raise InputError(
            f"channels={list(channels)}: allowed are {len(whole)} whole numbers from 1 to those of "
            f"{base}: {whole}"
        )
    left = iter(channels)
    for layer in _layers(network):
        _cut(layer, *(next(left) for _ in _EXTENTS[type(layer)]))
    return network


def channel_counts(network: nn.Module) -> list[int]:
    """How many outputs and inputs its layers have; see `slim_network`.

    Raises:
        InputError: It has layers that are not told by these numbers.
    """
    return [
        int(getattr(layer, name)) for layer in _layers(network) for name in _EXTENTS[type(layer)]
    ]


def _layers(network: nn.Module) -> list[nn.Module]:
    """The layers that have channels, in the network's order."""
    found = []
    for name, layer in network.named_modules():
        if type(layer) in _EXTENTS:
            sizes = {getattr(layer, each) for each in _EXTENTS[type(layer)]}
            groups = getattr(layer, "groups", 1)
            if groups != 1 and sizes != {groups}:
                raise InputError(
                    f"{name} has {groups} groups: allowed are 1, or one for each channel"
                )
            found.append(layer)
        elif any(True for _ in layer.parameters(recurse=False)):
            kinds = ", ".join(kind.__name__ for kind in _EXTENTS)
            raise InputError(f"{name} is a {type(layer).__name__}: allowed are {kinds}")
    return found


def _cut(layer: nn.Module, outputs: int, inputs: int | None = None) -> None:
    """Leaves a layer its first outputs and inputs."""
    for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
        if not tensor.dim():
            continue
        kept = tensor.detach()[:outputs]
        if kept.dim() > 1:
            kept = kept[:, :inputs]
        kept = kept.clone()
        setattr(layer, name, nn.Parameter(kept) if name in ("weight", "bias") else kept)
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        layer.groups = outputs
    for name, size in zip(_EXTENTS[type(layer)], (outputs, inputs), strict=False):
        setattr(layer, name, size)


SLIM_NETWORK = f"lightprune.models.{slim_network.__name__}"
