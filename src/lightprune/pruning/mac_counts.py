"""MACs of every weight at a given input size, with padding and without."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from lightprune.errors import InputError
from lightprune.pruning.eval_mode import eval_mode
from lightprune.pruning.reachability import front_padding, hits_per_tap


@dataclass(frozen=True)
class LayerCall:
    """The shapes of one call of a layer for one image.

    Attributes:
        inputs: Of its tensor arguments, in the order of its signature.
        output: Of its first output.
    """

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
        """The counts of two calls together."""
        return MacCounts(self.applied + other.applied, self.data + other.data)


@contextmanager
def record_layer_shapes(
    network: nn.Module, example: Tensor
) -> Iterator[dict[nn.Module, list[tuple[torch.Size, torch.Size]]]]:
    """Runs one image through a network and yields the shapes of convolutions and linear layers.

    The network's mode, buffers and random state stay as they are. What is compiled of it runs
    uncompiled here.

    Args:
        network: Any module that takes one tensor.
        example: A batch, shape (N, ...); its first image is taken.

    Yields:
        `{layer: [(input shape, output shape), ...]}`, one pair a call.
    """
    with _calls(network, example, (_ConvNd, nn.Linear)) as calls:
        yield {
            m: [(call.inputs[0], call.output) for call in layer_calls]
            for m, layer_calls in calls.items()
        }


@contextmanager
def _calls(
    network: nn.Module, example: Tensor, kinds: tuple[type[nn.Module], ...]
) -> Iterator[dict[nn.Module, list[LayerCall]]]:
    """As `record_layer_shapes`, for any kind of layer, with the shapes of all of its inputs."""
    calls: dict[nn.Module, list[LayerCall]] = {}

    def record(module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> None:
        arguments = signature(module.forward).bind(*args, **kwargs).arguments.values()
        shapes = tuple(value.shape for value in arguments if isinstance(value, Tensor))
        first = output if isinstance(output, Tensor) else output[0]
        calls.setdefault(module, []).append(LayerCall(shapes, first.shape))

    layers = [module for module in network.modules() if isinstance(module, kinds)]
    hooks = [layer.register_forward_hook(record, with_kwargs=True) for layer in layers]
    devices = [example.device] if example.is_cuda else []
    try:
        # Compiled code runs no hooks that were set after it was compiled.
        with (
            eval_mode(network),
            torch.random.fork_rng(devices),
            torch.compiler.set_stance("force_eager"),
        ):
            network(example[:1])
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def count_macs(
    network: nn.Module, weights: Mapping[str, Tensor], example: Tensor
) -> dict[str, MacCounts]:
    """Counts the multiplications of each weight for one image, over all calls of its layers.

    Args:
        network: The network that holds `weights`.
        weights: The parameters to count, by any of their names.
        example: Inputs of the size the network is used at, shape (N, C, H, W), of any values.

    Returns:
        By name; weights that the example never reaches, and those of other layers than
        convolutions, linear ones and attention, are left out. Padding other than zeros, and that of
        transposed convolutions, is data. Products between tokens use no weight and count nowhere.

    Raises:
        InputError: The example reaches none of the weights.
    """
    counts: dict[str, MacCounts] = {}
    named = network.named_parameters(remove_duplicate=False)
    owners = {id(parameter): name for name, parameter in named if name in weights}
    with _calls(network, example, tuple(_LAYERS)) as calls:
        for module, layer_calls in calls.items():
            count = next(rule for kind, rule in _LAYERS.items() if isinstance(module, kind))
            for weight, used in (pair for call in layer_calls for pair in count(module, call)):
                if name := owners.get(id(weight)):
                    counts[name] = counts[name] + used if name in counts else used
    if weights and not counts:
        raise InputError(
            f"model: an image reaches none of its {len(weights)} prunable layers "
            f"({', '.join(list(weights)[:3])}); allowed is a network that calls at least one"
        )
    return counts


def macs_per_weight(
    network: nn.Module, weights: Mapping[str, Tensor], example: Tensor
) -> dict[str, Tensor]:
    """Counts how often each weight multiplies data for one image, padding left out.

    Args as of `count_macs`.

    Returns:
        int64 tensors on the CPU by name, in shapes that broadcast to the weights'. Weights that
        `count_macs` leaves out count as used once: nothing is known about them.
    """
    counts = count_macs(network, weights, example)
    return {name: counts[name].data if name in counts else torch.tensor(1) for name in weights}


def _convolution(layer: _ConvNd, call: LayerCall) -> Iterator[tuple[Tensor, MacCounts]]:
    """A convolution: every weight once per output element (transposed: per input element)."""
    spatial = len(layer.kernel_size)
    into, out = call.inputs[0][-spatial:], call.output[-spatial:]
    images = prod(call.output[: -spatial - 1])
    applied = torch.tensor(images * prod(into if layer.transposed else out))
    if layer.transposed or layer.padding_mode != "zeros":
        yield layer.weight, MacCounts(applied, applied)
        return
    data = torch.full(layer.kernel_size, images)
    for axis, pad in enumerate(front_padding(layer)):
        stride, dilation = layer.stride[axis], layer.dilation[axis]
        line = hits_per_tap(into[axis], layer.kernel_size[axis], stride, pad, dilation, out[axis])
        data *= torch.tensor(line).view([-1 if a == axis else 1 for a in range(spatial)])
    yield layer.weight, MacCounts(applied, data)


def _linear(layer: nn.Linear, call: LayerCall) -> Iterator[tuple[Tensor, MacCounts]]:
    """A linear layer: every weight once a token."""
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


def _output_projection(layer: nn.Module, call: LayerCall) -> Iterator[tuple[Tensor, MacCounts]]:
    """Attention's output projection, which `_attention` counts."""
    return iter(())


def _per_token(shape: torch.Size) -> MacCounts:
    """Once for every vector along the last axis."""
    count = torch.tensor(prod(shape[:-1]))
    return MacCounts(count, count)


# By kind of layer, the most special first.
_LAYERS: dict[type[nn.Module], Callable[[Any, LayerCall], Iterator[tuple[Tensor, MacCounts]]]] = {
    NonDynamicallyQuantizableLinear: _output_projection,
    nn.MultiheadAttention: _attention,
    _ConvNd: _convolution,
    nn.Linear: _linear,
}
