"""Which weights some input can reach: kernel positions that only ever meet padding are not."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.modules.conv import _ConvNd

from lightprune.pruning.masks import Masks


def live_masks(weights: Mapping[str, Tensor], macs: Mapping[str, Tensor]) -> Masks:
    """Masks of the weights that multiply data at least once, on the weights' devices.

    They take as little memory as `macs` (`macs_per_weight`). Weights of which nothing is known are
    live.
    """
    once = torch.tensor(1)
    return Masks(
        {
            name: (macs.get(name, once) > 0).to(w.device).expand(w.shape)
            for name, w in weights.items()
        }
    )


def live_positions(
    size: int, kernel: int, stride: int, pad: int, dilation: int, out: int
) -> list[int]:
    """The kernel positions along one axis that some output index multiplies with data.

    Args as of `hits_per_tap`.
    """
    hits = hits_per_tap(size, kernel, stride, pad, dilation, out)
    return [k for k, count in enumerate(hits) if count]


def hits_per_tap(
    size: int, kernel: int, stride: int, pad: int, dilation: int, out: int
) -> list[int]:
    """How many output indices multiply each kernel position along one axis with data.

    For tap k these are the o in [0, out) with 0 <= o*stride - pad + k*dilation < size: `size`,
    `kernel` and `out` are extents of input, kernel and output, `pad` is the padding in front.
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
