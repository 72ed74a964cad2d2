"""Crops kernels whose border meets only padding: a smaller network, the same function."""

import copy

import torch
from torch import Tensor, nn

from lightprune.pruning.cost.mac_counts import record_layer_shapes
from lightprune.pruning.reachability import front_padding, live_positions

# The first kernel position to keep, how many, and the padding on both sides of the input.
_Crop = tuple[int, int, int]


def strip_unreachable(network: nn.Module, example: Tensor) -> nn.Module:
    """A copy of a network without the weights at the border of kernels that only meet padding.

    The network is any module that takes one tensor; the copy takes images of the size of `example`
    only, a batch of shape (N, C, H, W). A kernel keeps its extent along an axis where a
    symmetrically padded smaller one does not give the same outputs.
    """
    smaller = copy.deepcopy(network)
    for layer, shapes in record_layer_shapes(smaller, example).items():
        if isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros":
            sizes = [(inputs[-2:], outputs[-2:]) for inputs, outputs in shapes]
            _crop(layer, sizes)
    return smaller


def _crop(conv: nn.Conv2d, sizes: list[tuple[torch.Size, torch.Size]]) -> None:
    rows, columns = (
        _axis(conv, axis, [(inputs[axis], outputs[axis]) for inputs, outputs in sizes])
        for axis in (0, 1)
    )
    if rows is None or columns is None or (rows[1], columns[1]) == conv.kernel_size:
        return
    kept = [slice(first, first + size) for first, size, _ in (rows, columns)]
    cropped = conv.weight.detach()[:, :, kept[0], kept[1]].contiguous()
    conv.weight = nn.Parameter(cropped, requires_grad=conv.weight.requires_grad)
    conv.kernel_size = (rows[1], columns[1])
    conv.padding = (rows[2], columns[2])


def _axis(conv: nn.Conv2d, axis: int, sizes: list[tuple[int, int]]) -> _Crop | None:
    """The smallest exact crop along one axis for every (input, output) size it is called with.

    None where there is none, and padding alone cannot say what the axis has now: `same` pads an
    even reach by one more behind than in front.
    """
    kernel, stride, dilation = conv.kernel_size[axis], conv.stride[axis], conv.dilation[axis]
    pad = front_padding(conv)[axis]
    live = {
        tap
        for size, out in sizes
        for tap in live_positions(size, kernel, stride, pad, dilation, out)
    }
    if live:
        first, last = min(live), max(live)
        front, extent = pad - first * dilation, last - first + 1
        reach = dilation * (extent - 1) + 1
        if front >= 0 and all(
            size + 2 * front >= reach and (size + 2 * front - reach) // stride + 1 == out
            for size, out in sizes
        ):
            return first, extent, front
    if conv.padding == "same" and dilation * (kernel - 1) % 2:
        return None
    return 0, kernel, pad
