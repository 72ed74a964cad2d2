"""MACs of every weight at a given input size, with padding and without."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lightprune.errors import InputError
from lightprune.pruning.cost.example import Example, Inputs
from lightprune.pruning.cost.products import convolution_uses
from lightprune.pruning.cost.weight_uses import WeightUses
from lightprune.pruning.eval_mode import eval_mode
from lightprune.pruning.reachability import front_padding


@dataclass(frozen=True)
class LayerCall:
    """The shapes of one call of a layer: its tensor arguments, in order, and its first output."""

    inputs: tuple[torch.Size, ...]
    output: torch.Size


@dataclass(frozen=True)
class MacCounts:
    """How many multiplications each element of a weight does for one image.

    int64 tensors on the CPU, of shapes that broadcast to the weight's.

    Attributes:
        applied: Padding included: the MACs of a dense layer, as they are usually counted.
        data: Without those of padding; 0 for an unreachable weight.
    """

    applied: Tensor
    data: Tensor

    def __add__(self, other: "MacCounts") -> "MacCounts":
        return MacCounts(self.applied + other.applied, self.data + other.data)


def record_layer_shapes(
    network: nn.Module, example: Example
) -> dict[nn.Module, list[tuple[torch.Size, torch.Size]]]:
    """Runs one image through a network and records the shapes of convolutions and linear layers.

    The network's mode, buffers and random state stay as they are. What is compiled of it runs
    uncompiled here. The image is the first of the example, a batch of inputs.

    Returns:
        `{layer: [(input shape, output shape), ...]}`, one pair a call, of layers that compute what
        torch's do and whose weights nothing else reads.
    """
    weights = {
        name: layer.weight
        for name, layer in network.named_modules()
        if isinstance(layer, _ConvNd | nn.Linear) and isinstance(layer.weight, nn.Parameter)
    }
    calls, elsewhere = _run(network, weights, example)
    alone = {id(weight) for name, weight in weights.items() if name not in elsewhere.read}
    return {
        m: [(call.inputs[0], call.output) for call in layer_calls]
        for m, layer_calls in calls.items()
        if isinstance(m, _ConvNd | nn.Linear) and id(m.weight) in alone
    }


def _run(
    network: nn.Module, weights: Mapping[str, Tensor], example: Example
) -> tuple[dict[nn.Module, list[LayerCall]], WeightUses]:
    """The calls of torch's own layers, and the uses of weights outside of them."""
    inputs = Inputs.of(example)
    calls: dict[nn.Module, list[LayerCall]] = {}
    uses = WeightUses(weights)

    def enter(module: nn.Module, args: Any) -> None:
        uses.paused += 1

    def leave(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        uses.paused -= 1
        arguments = signature(module.forward).bind(*args, **kwargs).arguments.values()
        shapes = tuple(value.shape for value in arguments if isinstance(value, Tensor))
        first = output if isinstance(output, Tensor) else output[0]
        calls.setdefault(module, []).append(LayerCall(shapes, first.shape))

    layers = [module for module in network.modules() if _forward_of(module) in _LAYERS]
    hooks = [layer.register_forward_pre_hook(enter) for layer in layers]
    hooks += [layer.register_forward_hook(leave, with_kwargs=True) for layer in layers]
    devices = {tensor.device for tensor in inputs.tensors if tensor.is_cuda}
    try:
        # Compiled code runs no hooks that were set after it was compiled.
        with (
            eval_mode(network),
            torch.random.fork_rng(devices),
            torch.compiler.set_stance("force_eager"),
            uses,
        ):
            inputs.first().call(network)
    finally:
        for hook in hooks:
            hook.remove()
    return calls, uses


def _forward_of(layer: nn.Module) -> Any:
    """The function that says what a layer computes: its own forward, or its `plain_forward`."""
    method = getattr(layer, "plain_forward", layer.forward)
    return getattr(method, "__func__", method)


def count_macs(
    network: nn.Module, weights: Mapping[str, Tensor], example: Example
) -> dict[str, MacCounts]:
    """Counts the multiplications of each weight for one image, wherever they happen.

    The image is the first of the example, a batch of inputs of any values. A layer that does
    another way what one of torch's does names that one's as its `plain_forward`.

    Returns:
        By name; zeros of weights that the image does not reach. Weights that operations read, but
        not as factors of matrix products and convolutions, are left out: nothing is known about
        them. Padding other than zeros, and that of transposed convolutions, is data. Products
        between tokens use no weight and count nowhere.

    Raises:
        InputError: The image reaches none of the weights.
    """
    named = {
        name: weight
        for name, weight in network.named_parameters(remove_duplicate=False)
        if name in weights
    }
    names = {id(weight): name for name, weight in named.items()}
    distinct = {name: named[name] for name in names.values()}
    calls, uses = _run(network, distinct, example)
    counts = {
        name: MacCounts(*(_compact(total.view(distinct[name].shape)) for total in totals))
        for name, totals in uses.counts.items()
    }
    for layer, layer_calls in calls.items():
        rule = _LAYERS[_forward_of(layer)]
        for weight, used in (pair for call in layer_calls for pair in rule(layer, call)):
            if name := names.get(id(weight)):
                counts[name] = counts[name] + used if name in counts else used
    if weights and not counts and not uses.read:
        raise InputError(
            f"model: an image reaches none of its {len(weights)} prunable layers "
            f"({', '.join(list(weights)[:3])}); allowed is a network that calls at least one"
        )
    unknown = uses.unknown | (uses.read - counts.keys())
    first = {name: names[id(weight)] for name, weight in named.items()}
    return {
        name: counts.get(first[name], _UNREACHED) for name in weights if first[name] not in unknown
    }


def _compact(counts: Tensor) -> Tensor:
    """Equal counts along an axis, once; if all are equal, as one number."""
    for axis in range(counts.dim()):
        start = counts.narrow(axis, 0, 1)
        if torch.equal(start.expand_as(counts), counts):
            counts = start
    return counts.reshape(()) if counts.numel() == 1 else counts.clone()


def macs_per_weight(
    network: nn.Module, weights: Mapping[str, Tensor], example: Example
) -> dict[str, Tensor]:
    """Counts how often each weight multiplies data for one image, padding left out.

    Args as of `count_macs`.

    Returns:
        int64 tensors on the CPU by name, in shapes that broadcast to the weights'; 0 for weights
        that the image does not reach. Those of which nothing is known are left out.
    """
    return {name: used.data for name, used in count_macs(network, weights, example).items()}


def _convolution(layer: _ConvNd, call: LayerCall) -> Iterator[tuple[Tensor, MacCounts]]:
    """A convolution: every weight once per output element (transposed: per input element)."""
    applied, data = convolution_uses(
        call.inputs[0],
        layer.weight.shape,
        call.output,
        layer.stride,
        front_padding(layer),
        layer.dilation,
        layer.transposed,
    )
    yield layer.weight, MacCounts(applied, data if layer.padding_mode == "zeros" else applied)


def _linear(layer: nn.Linear, call: LayerCall) -> Iterator[tuple[Tensor, MacCounts]]:
    yield layer.weight, _per_token(call.output)


def _attention(layer: nn.MultiheadAttention, call: LayerCall) -> Iterator[tuple[Tensor, MacCounts]]:
    """Multi-head attention: the rows of a projection once a token of what they project."""
    projected = [_per_token(shape) for shape in call.inputs[:3]]
    if layer.in_proj_weight is None:
        separate = (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
        yield from zip(separate, projected, strict=True)
    else:
        rows = torch.stack([used.applied for used in projected])
        rows = rows.repeat_interleave(layer.embed_dim).unsqueeze(1)
        yield layer.in_proj_weight, MacCounts(rows, rows)
    yield layer.out_proj.weight, projected[0]


def _per_token(shape: torch.Size) -> MacCounts:
    count = torch.tensor(prod(shape[:-1]))
    return MacCounts(count, count)


_UNREACHED = MacCounts(torch.tensor(0), torch.tensor(0))
_CONVOLUTIONS: tuple[type[_ConvNd], ...] = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
# By what a layer's calls run.
_LAYERS: dict[Any, Callable[[Any, LayerCall], Iterator[tuple[Tensor, MacCounts]]]] = {
    **{layer.forward: _convolution for layer in _CONVOLUTIONS},
    nn.Linear.forward: _linear,
    nn.MultiheadAttention.forward: _attention,
}
