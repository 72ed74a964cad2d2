"""How often each weight multiplies data at a given input size; dead taps only meet padding."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lightprune.pruning.evaluation_mode import evaluating
from lightprune.pruning.masks import Masks


def live_positions(
    size: int, kernel: int, stride: int, pad: int, dilation: int, out: int
) -> list[int]:
    """The kernel positions along one axis that some output index multiplies with data.

    Args as of `meetings`.
    """
    return [
        k for k, count in enumerate(meetings(size, kernel, stride, pad, dilation, out)) if count
    ]


def meetings(size: int, kernel: int, stride: int, pad: int, dilation: int, out: int) -> list[int]:
    """How many output indices multiply each kernel position along one axis with data.

    For tap k these are the o in [0, out) with 0 <= o*stride - pad + k*dilation < size.

    Args:
        size: Input extent along the axis.
        kernel: Kernel extent.
        stride: Stride.
        pad: Padding in front.
        dilation: Dilation.
        out: Output extent.
    """
    counts = []
    for start in range(-pad, kernel * dilation - pad, dilation):
        first, last = max(0, -(start // stride)), min(out - 1, (size - 1 - start) // stride)
        counts.append(max(0, last - first + 1))
    return counts


def front_padding(conv: _ConvNd) -> tuple[int, ...]:
    """The padding before the first element of each spatial axis."""
    if conv.padding == "valid":
        return (0,) * len(conv.kernel_size)
    if conv.padding == "same":
        spans = zip(conv.dilation, conv.kernel_size, strict=True)
        return tuple(d * (k - 1) // 2 for d, k in spans)
    assert not isinstance(conv.padding, str)
    return tuple(conv.padding)


@contextmanager
def observed(
    network: nn.Module, example: Tensor
) -> Iterator[dict[nn.Module, list[tuple[torch.Size, torch.Size]]]]:
    """Runs `example` through the network once and yields the shapes each leaf layer saw.

    The network's mode, buffers and random state stay as they are.

    Args:
        network: Any module that takes one tensor.
        example: A batch, shape (N, ...).

    Yields:
        `{layer: [(input shape, output shape), ...]}`, one pair a call.
    """
    calls: dict[nn.Module, list[tuple[torch.Size, torch.Size]]] = {}

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        calls.setdefault(module, []).append((inputs[0].shape, output.shape))

    leaves = [m for m in network.modules() if isinstance(m, _ConvNd | nn.Linear)]
    hooks = [leaf.register_forward_hook(record) for leaf in leaves]
    devices = [example.device] if example.is_cuda else []
    try:
        with evaluating(network), torch.random.fork_rng(devices):
            network(example)
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def multiplications(
    network: nn.Module, weights: Mapping[str, Tensor], example: Tensor
) -> dict[str, Tensor]:
    """Counts how often each weight multiplies data for one image: what it costs in MACs.

    Products with padding do not count. Every call of a layer does.

    Args:
        network: The network that holds `weights`.
        weights: The parameters to ask about, by name.
        example: A batch of the size the network is used at, shape (N, C, H, W); its values do
            not matter.

    Returns:
        int64 tensors on the CPU by name, in shapes that broadcast to the weights': one number a
        kernel position. Padding other than zeros, and that of transposed convolutions, is data.
        Weights of other layers than convolutions and linear ones, and those that the example
        never reaches, count as used once: nothing is known about them.
    """
    with observed(network, example) as calls:
        owners = owners_of(network, weights)
        found: dict[str, Tensor] = {}
        for module, shapes in calls.items():
            if name := owners.get(id(module.weight)):
                for seen, out in shapes:
                    count = _in_call(module, seen, out)
                    found[name] = found[name] + count if name in found else count
    return {name: found.get(name, torch.tensor(1)) for name in weights}


def live_taps(network: nn.Module, weights: Mapping[str, Tensor], example: Tensor) -> Masks:
    """Finds the weights that some input can reach, from the geometry of every convolution.

    Args as of `multiplications`.

    Returns:
        Masks of the weights' shapes, True = live: multiplies data at least once.
    """
    used = multiplications(network, weights, example)
    return Masks(
        {
            name: torch.ones_like(w, dtype=torch.bool).logical_and_((used[name] > 0).to(w.device))
            for name, w in weights.items()
        }
    )


def owners_of(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[int, str]:
    """The names in `weights` by the identity of the network's own parameter."""
    named = network.named_parameters(remove_duplicate=False)
    return {id(parameter): name for name, parameter in named if name in weights}


def positions(layer: nn.Module, seen: torch.Size, out: torch.Size) -> int:
    """How many times one call applies each weight to one input, padding included."""
    if not isinstance(layer, _ConvNd):
        return prod(out[1:-1])
    return prod((seen if layer.transposed else out)[-len(layer.kernel_size) :])


def _in_call(layer: nn.Module, seen: torch.Size, out: torch.Size) -> Tensor:
    """How many times one call multiplies each weight with data."""
    if not isinstance(layer, _ConvNd) or layer.transposed or layer.padding_mode != "zeros":
        return torch.tensor(positions(layer, seen, out))
    spatial = len(layer.kernel_size)
    counts = torch.ones(layer.kernel_size, dtype=torch.int64)
    for axis, pad in enumerate(front_padding(layer)):
        line = meetings(
            seen[axis - spatial],
            layer.kernel_size[axis],
            layer.stride[axis],
            pad,
            layer.dilation[axis],
            out[axis - spatial],
        )
        counts *= torch.tensor(line).view([-1 if a == axis else 1 for a in range(spatial)])
    return counts
