"""Convolutions on maps smaller than the kernel, without the kernel taps that only meet padding."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# The kernel taps that meet the input at an output index, and how many inputs lie beside them.
Window = tuple[slice, tuple[int, int]]


class LiveTapConv2d(nn.Conv2d):
    """A Conv2d that multiplies no padding where its input is smaller than its kernel.

    On such a map every output sees at most H x W inputs, so the convolution is one matrix
    product with H*W instead of kh*kw products per output: 1/9 of a 3x3 convolution on a 1x1
    map, 4/9 on a 2x2 map. Values and gradients equal the plain convolution's up to the order of
    summation; the gradient of a tap that only meets padding is exactly zero. Parameters, names
    and state dict are those of Conv2d, and larger maps take Conv2d's own path.
    """

    # What its MACs are counted by.
    plain_forward = nn.Conv2d.forward

    def forward(self, x: Tensor) -> Tensor:
        """Convolves `x`, shape (N, C, H, W)."""
        if torch.compiler.is_exporting():
            # An exported graph holds the plain operator; its runtime chooses the algorithm.
            return super().forward(x)
        height, width = x.shape[-2:]
        rows, columns = self._windows(0, height), self._windows(1, width)
        small = height * width < self.kernel_size[0] * self.kernel_size[1]
        if not (small and rows and columns and x.dim() == 4):
            return super().forward(x)
        matrix = _Matrix.apply(self.weight, rows, columns)
        bias = None if self.bias is None else self.bias.repeat(len(rows) * len(columns))
        product = F.linear(x.permute(0, 2, 3, 1).flatten(1), matrix, bias)
        return product.view(len(x), len(rows), len(columns), self.out_channels).permute(0, 3, 1, 2)

    def _windows(self, axis: int, size: int) -> list[Window]:
        """By output index, the taps that meet the input, and the inputs beside them."""
        padding, kernel, stride = self.padding[axis], self.kernel_size[axis], self.stride[axis]
        assert isinstance(padding, int)
        windows = []
        for start in range(-padding, size + padding - kernel + 1, stride):
            low, high = max(-start, 0), min(size - start, kernel)
            taps, beside = slice(low, high), (start + low, size - start - high)
            windows.append((taps, beside) if low < high else (slice(0, 0), (0, size)))
        return windows


class _Matrix(torch.autograd.Function):
    """The matrix of a convolution on a small map: (outputs x C_out, inputs x C_in).

    A function of its own because the gradient of plain slices is built in several full-size
    copies of the weight, and this in one, laid out as the weight is.
    """

    @staticmethod
    def forward(ctx: Any, weight: Tensor, rows: list[Window], columns: list[Window]) -> Tensor:
        """Gathers the taps that meet the input, one block of C_out rows an output pixel."""
        ctx.save_for_backward(weight)
        ctx.windows = rows, columns
        taps = weight.permute(0, 2, 3, 1)
        blocks = [
            F.pad(taps[:, top, left], (0, 0, *beside, *above))
            for top, above in rows
            for left, beside in columns
        ]
        return torch.cat(blocks).flatten(1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Scatters the gradient back; taps that meet no input get exactly zero."""
        (weight,) = ctx.saved_tensors
        rows, columns = ctx.windows
        gradient = torch.zeros_like(weight)
        taps = gradient.permute(0, 2, 3, 1)
        height, width = (
            before + taps.stop - taps.start + after
            for ((taps, (before, after)), *_) in (rows, columns)
        )
        blocks = gradients[0].view(len(rows), len(columns), len(weight), height, width, -1)
        for row, (top, above) in zip(blocks, rows, strict=True):
            for block, (left, beside) in zip(row, columns, strict=True):
                inner = block[:, above[0] : height - above[1], beside[0] : width - beside[1]]
                taps[:, top, left] += inner
        return gradient, None, None


def use_live_taps(network: nn.Module) -> nn.Module:
    """Turns, in place, every plain convolution that could profit into a LiveTapConv2d.

    Left alone: 1x1 kernels, groups, dilation, other padding than zeros or given as a word, and
    subclasses of Conv2d.
    """
    for module in network.modules():
        if (
            type(module) is nn.Conv2d
            and module.kernel_size != (1, 1)
            and module.groups == 1
            and module.dilation == (1, 1)
            and module.padding_mode == "zeros"
            and not isinstance(module.padding, str)
        ):
            module.__class__ = LiveTapConv2d
    return network
