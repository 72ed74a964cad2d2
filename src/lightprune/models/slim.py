"""Known networks with fewer channels: what channel pruning leaves, under the same names."""

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn

from lightprune.errors import InputError
from lightprune.models.registry import builder_of

# The attributes that hold a layer's channel counts, in the order in which they are listed.
_COUNTS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Conv2d: ("out_channels", "in_channels"),
    nn.Linear: ("out_features", "in_features"),
    nn.BatchNorm2d: ("num_features",),
}


def slim_network(
    num_classes: int, base: str, channels: Sequence[int], **settings: Any
) -> nn.Module:
    """Builds a known network whose layers have fewer channels: each keeps its first ones.

    `base` is the dotted name of what builds the whole network, with the settings. `channels` are
    the outputs and inputs of every convolution and linear layer, and the channels of every batch
    norm, in the order of the network's modules: its `channel_counts`.

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
    most = channel_counts(network)
    valid = len(channels) == len(most) and all(
        type(count) is int and 0 < count <= limit
        for count, limit in zip(channels, most, strict=True)
    )
    if not valid:
        raise InputError(
            f"channels={list(channels)}: allowed are {len(most)} whole numbers from 1 to those of "
            f"{base}: {most}"
        )
    counts = iter(channels)
    for layer in _layers(network):
        _slice(layer, *(next(counts) for _ in _COUNTS[type(layer)]))
    return network


def channel_counts(network: nn.Module) -> list[int]:
    """How many outputs and inputs the layers of a network have; see `slim_network`.

    Raises:
        InputError: These numbers do not describe every layer of it.
    """
    return [getattr(layer, name) for layer in _layers(network) for name in _COUNTS[type(layer)]]


def _layers(network: nn.Module) -> Iterator[nn.Module]:
    for name, layer in network.named_modules():
        if type(layer) in _COUNTS:
            counts = {getattr(layer, attribute) for attribute in _COUNTS[type(layer)]}
            groups = getattr(layer, "groups", 1)
            if groups != 1 and counts != {groups}:
                raise InputError(
                    f"{name} has {groups} groups: allowed are 1, or one for each channel"
                )
            yield layer
        elif any(True for _ in layer.parameters(recurse=False)):
            allowed = ", ".join(kind.__name__ for kind in _COUNTS)
            raise InputError(f"{name} is a {type(layer).__name__}: allowed are {allowed}")


def _slice(layer: nn.Module, outputs: int, inputs: int | None = None) -> None:
    for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
        if not tensor.dim():
            continue
        part = tensor.detach()[(slice(outputs), slice(inputs))[: tensor.dim()]].clone()
        setattr(layer, name, nn.Parameter(part) if name in ("weight", "bias") else part)
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        layer.groups = outputs
    for name, count in zip(_COUNTS[type(layer)], (outputs, inputs), strict=False):
        setattr(layer, name, count)


SLIM_NETWORK = f"lightprune.models.{slim_network.__name__}"
