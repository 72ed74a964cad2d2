"""How often each element of its operands takes part in a matrix product or a convolution."""

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from lightprune.pruning.reachability import hits_per_tap

aten = torch.ops.aten
# An operand, and how often each of its elements multiplies: in all, and with data.
Use = tuple[Tensor, Tensor, Tensor]


def _matrices(first: int) -> Callable[[Any, Any], Iterator[Use]]:
    """Two matrices, or batches of them, the first of which is a certain argument."""

    def uses(args: Any, out: Any) -> Iterator[Use]:
        left, right = args[first], args[first + 1]
        for operand, times in (
            (left, right.shape[-1] if right.dim() > 1 else 1),
            (right, left.shape[-2] if left.dim() > 1 else 1),
        ):
            yield operand, torch.tensor(times), torch.tensor(times)

    return uses


def _convolution(args: Any, out: Tensor) -> Iterator[Use]:
    images, weight, _, stride, padding, dilation, transposed = args[:7]
    axes = weight.dim() - 2
    stride, padding, dilation = (
        v * axes if len(v) == 1 else v for v in (stride, padding, dilation)
    )
    applied, data = convolution_uses(
        images.shape, weight.shape, out.shape, stride, padding, dilation, transposed
    )
    yield weight, applied, data


def convolution_uses(
    images: torch.Size,
    weight: torch.Size,
    out: torch.Size,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
) -> tuple[Tensor, Tensor]:
    """How often a convolution multiplies with each weight: in all, and with data.

    The first three are shapes, the others one number an axis; padding is zeros in front of it. In
    a transposed convolution every multiplication is with data.
    """
    spatial = len(weight) - 2
    into, over, kernel = images[-spatial:], out[-spatial:], weight[2:]
    batch = prod(out[: -spatial - 1])
    applied = torch.tensor(batch * prod(into if transposed else over))
    if transposed:
        return applied, applied
    data = torch.full(tuple(kernel), batch)
    for axis in range(spatial):
        line = hits_per_tap(
            into[axis], kernel[axis], stride[axis], padding[axis], dilation[axis], over[axis]
        )
        data *= torch.tensor(line).view([-1 if a == axis else 1 for a in range(spatial)])
    return applied, data


# By operation: from its arguments and its output.
PRODUCTS: dict[Any, Callable[[Any, Any], Iterator[Use]]] = {
    **dict.fromkeys((aten.mm, aten.bmm, aten.mv, aten.dot, aten.vdot), _matrices(0)),
    **dict.fromkeys((aten.addmm, aten.baddbmm, aten.addmv), _matrices(1)),
    aten.convolution: _convolution,
}
