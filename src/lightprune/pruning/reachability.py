"""Dead taps: convolution weights that, at a given input size, only ever multiply padding."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from lightprune.pruning.evaluation_mode import evaluating
from lightprune.pruning.masks import Masks


def live_positions(
    size: int, kernel: int, stride: int, pad: int, dilation: int, out: int
) -> list[int]:
    """The kernel positions along one axis that some output index multiplies with data.

    Tap k is live iff an output index o in [0, out) has 0 <= o*stride - pad + k*dilation < size.

    Args:
        size: Input extent along the axis.
        kernel: Kernel extent.
        stride: Stride.
        pad: Padding in front.
        dilation: Dilation.
        out: Output extent.
    """
    return [
        k
        for k in range(kernel)
        if any(0 <= o * stride - pad + k * dilation < size for o in range(out))
    ]


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


def live_taps(network: nn.Module, weights: Mapping[str, Tensor], example: Tensor) -> Masks:
    """Finds the weights that some input can reach, from the geometry of every convolution.

    Args:
        network: The network that holds `weights`.
        weights: The parameters to ask about, by name.
        example: A batch of the size the network is used at, shape (N, C, H, W); its values do
            not matter.

    Returns:
        Masks of the weights' shapes, True = live. Weights of layers other than convolutions
        with zero padding are live, and so is everything in a layer that the example never
        reaches.
    """
    with observed(network, example) as calls:
        live = {name: torch.ones_like(w, dtype=torch.bool) for name, w in weights.items()}
        owners = owners_of(network, weights)
        found: dict[str, Tensor] = {}
        for module, shapes in calls.items():
            name = owners.get(id(module.weight))
            if name is None:
                continue
            reached = torch.zeros_like(live[name])
            for seen, out in shapes:
                reached |= _live_in_call(module, seen, out, live[name])
            found[name] = found[name] | reached if name in found else reached
    return Masks(live | found)


def owners_of(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[int, str]:
    """The names in `weights` by the identity of the network's own parameter."""
    named = network.named_parameters(remove_duplicate=False)
    return {id(parameter): name for name, parameter in named if name in weights}


def _live_in_call(layer: nn.Module, seen: torch.Size, out: torch.Size, like: Tensor) -> Tensor:
    """The weights that one call of a layer multiplies with data."""
    if not isinstance(layer, _ConvNd) or layer.transposed or layer.padding_mode != "zeros":
        return torch.ones_like(like)
    spatial = len(layer.kernel_size)
    reached = torch.ones(layer.kernel_size, dtype=torch.bool, device=like.device)
    for axis, pad in enumerate(front_padding(layer)):
        positions = live_positions(
            seen[axis - spatial],
            layer.kernel_size[axis],
            layer.stride[axis],
            pad,
            layer.dilation[axis],
            out[axis - spatial],
        )
        line = torch.zeros(layer.kernel_size[axis], dtype=torch.bool, device=like.device)
        line[positions] = True
        reached &= line.view([-1 if a == axis else 1 for a in range(spatial)])
    return reached.expand_as(like)
