"""A stored network as a bare torch module: built by a known constructor, and given its weights."""

import importlib
from collections.abc import Mapping
from inspect import signature

import torch
from torch import Tensor, nn

from lightprune.errors import InputError, first_line, nearest
from lightprune.models.registry import Constructor, builder_of
from lightprune.models.slim import SLIM_NETWORK, slim_network
from lightprune.models.spec import ModelSpec


def module_from_spec(
    description: ModelSpec,
    state: Mapping[str, Tensor],
    constructor: Constructor | None = None,
) -> nn.Module:
    """Builds a network, in evaluation mode, that holds `state`.

    A description may come from anywhere: of its own accord it builds nothing but torchvision's
    classification networks and this package's.

    Args:
        description: What to build.
        state: Every parameter and buffer by name; the network takes the tensors themselves.
        constructor: What builds it, called with `num_classes` and the described arguments;
            None takes the one that the description names.

    Raises:
        InputError: The constructor is not known, fails, or builds another network.
    """
    build = constructor or registered_constructor(description.constructor)
    name = description.constructor
    # Drawing weights that are replaced at once takes longer than reading the file.
    place = torch.device("cpu" if constructor else "meta")
    try:
        with place:
            network = build(num_classes=len(description.classes), **description.arguments)
        expected = network.state_dict()
    except Exception as error:  # The user's own code may raise anything.
        reason = first_line(error)
        raise InputError(
            f"{name}: {reason}; allowed is what builds the network for num_classes"
        ) from error
    for key in [*expected, *state]:
        theirs, mine = (_kind(tensors.get(key)) for tensors in (state, expected))
        if theirs != mine:
            near = nearest(key, [] if key in state else state)
            raise InputError(f"{name}: builds another network: {key} is {mine}, not {theirs}{near}")
    network.load_state_dict(state, assign=True)
    for key, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.is_meta:
            raise InputError(f"{name}: {key} is in no state dict; allowed is constructor=")
    return network.eval()


def import_constructor(name: str) -> Constructor:
    """The function or class of that dotted name: runs the code of its module.

    Raises:
        InputError: There is none.
    """
    module, _, attribute = name.rpartition(".")
    try:
        found: Constructor = getattr(importlib.import_module(module), attribute)
        signature(found)
    except Exception as error:  # The user's own code may raise anything.
        reason = first_line(error)
        raise InputError(
            f"{name}: {reason}; allowed is package.module.name of what builds the network"
        ) from error
    return found


def registered_constructor(name: str) -> Constructor:
    """The constructor that a description names.

    Raises:
        InputError: It names one that files may not name.
    """
    return slim_network if name == SLIM_NETWORK else builder_of(name)


def _kind(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}"
