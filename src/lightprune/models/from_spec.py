"""A stored network as a plain torch module: built by a registered constructor, with its weights."""

import ast
import importlib
from collections.abc import Mapping
from contextlib import suppress
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from lightprune.errors import InputError, first_line, nearest
from lightprune.models.registry import Constructor, builder_of
from lightprune.models.slim import slim_network
from lightprune.models.spec import ModelSpec

# Its name, and that in files written by earlier versions.
_SLIM_NETWORK = ("slim_network", "narrowed")


def module_from_spec(
    spec: ModelSpec,
    state: Mapping[str, Tensor],
    constructor: Constructor | None = None,
) -> nn.Module:
    """Builds a network, in evaluation mode, that holds `state`.

    A spec may come from an untrusted file: without `constructor`, nothing is built but
    torchvision's classification networks and this package's.

    The network takes the tensors of `state` themselves. A given constructor is called with
    `num_classes`, if the classes are known, and the spec's arguments.

    Raises:
        InputError: The constructor is not registered, fails, or builds another network.
    """
    return with_state(build_network(spec, constructor), spec.constructor, state)


def build_network(spec: ModelSpec, constructor: Constructor | None = None) -> nn.Module:
    """Builds a network for `with_state`; without `constructor` it holds no values yet.

    Raises:
        InputError: The constructor is not registered, or fails.
    """
    name, build = spec.constructor, constructor or registered_constructor(spec.constructor)
    classes = {"num_classes": len(spec.classes)} if spec.classes else {}

    def built(device: str) -> nn.Module:
        with torch.device(device):
            network = build(**classes, **spec.arguments)
        if not isinstance(network, nn.Module):
            raise TypeError(f"returns a {type(network).__name__}, no torch.nn.Module")
        network.state_dict()
        return network

    try:
        if constructor is None:
            # Drawing weights that are replaced at once takes longer than reading the file.
            with suppress(NotImplementedError):  # Some constructors read values, as RegNet's do.
                return built("meta")
        return built("cpu")
    except Exception as error:  # The user's own code may raise anything.
        given = "for num_classes" if classes else "from these arguments"
        raise InputError(
            f"{name}: {first_line(error)}; allowed is what builds the network {given}"
        ) from error


def with_state(network: nn.Module, name: str, state: Mapping[str, Tensor]) -> nn.Module:
    """A network of the constructor `name` that holds `state`, in evaluation mode.

    Raises:
        InputError: The network has other tensors; the message names the first.
    """
    expected = network.state_dict()
    for key in [*expected, *state]:
        needs, holds = (_dtype_and_shape(tensors.get(key)) for tensors in (expected, state))
        if needs != holds:
            near = nearest(key, [] if key in state else state)
            raise InputError(f"{name}: builds another network: {key} is {needs}, not {holds}{near}")
    network.load_state_dict(state, assign=True)
    for key, tensor in (*network.named_parameters(), *network.named_buffers()):
        if tensor.is_meta:
            raise InputError(f"{name}: {key} is in no state dict; allowed is constructor=")
    return network.eval()


def parse_call(text: str) -> tuple[str, dict[str, Any]]:
    """The dotted name and the arguments of a call such as `module.name(width=2)`; runs nothing.

    Raises:
        ValueError: It is something else, or an argument no literal with a name.
    """
    name, bracket, _ = text.partition("(")
    if not bracket:
        return name, {}
    try:
        call = ast.parse(text, mode="eval").body
        if not isinstance(call, ast.Call) or ast.unparse(call.func) != name or call.args:
            raise ValueError("is no call with named arguments")
        arguments = {}
        for word in call.keywords:
            try:
                arguments[str(word.arg)] = ast.literal_eval(word.value)
            except (ValueError, TypeError) as error:
                raise ValueError(f"{ast.unparse(word)} is no literal") from error
    except (SyntaxError, MemoryError, RecursionError) as error:
        raise ValueError(first_line(error)) from error
    if len(arguments) < len(call.keywords):
        raise ValueError("names an argument twice")
    return name, arguments


def import_constructor(name: str) -> Constructor:
    """The function or class of that dotted name: runs the code of its module.

    Raises:
        InputError: There is none.
    """
    module, _, attribute = name.rpartition(".")
    try:
        constructor: Constructor = getattr(importlib.import_module(module), attribute)
        signature(constructor)
    except Exception as error:  # The user's own code may raise anything.
        raise InputError(
            f"{name}: {first_line(error)}; allowed is package.module.name of what builds the "
            "network"
        ) from error
    return constructor


def registered_constructor(name: str) -> Constructor:
    """The constructor that a file may name: `builder_of`'s, and `slim_network`.

    Raises:
        InputError: There is none of that name.
    """
    package, _, last = name.rpartition(".")
    own = package.partition(".")[0] == "lightprune"
    return slim_network if own and last in _SLIM_NETWORK else builder_of(name)


def _dtype_and_shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else f"{tensor.dtype} {tuple(tensor.shape)}"
