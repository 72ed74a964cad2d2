"""Convolutions on small maps as matrix products, without multiplying padding."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# By how many times a matrix may be larger than the kernel.
_MOST_BLOCKS = 2
Pair = tuple[int, int]
# The kernel taps that meet the input at an output index, and how many inputs lie beside them.
Window = tuple[slice, Pair]


class LiveTapConv2d(nn.Conv2d):
    """A Conv2d that is a matrix product where its maps are small, or its kernel is one pixel.

    On a map smaller than its kernel every output sees at most H x W inputs, so the convolution is
    one product with H*W instead of kh*kw products per output: 1/9 of a 3x3 convolution on a 1x1
    map, 4/9 on a 2x2 map. With few outputs otherwise it is a product with the patches under the
    kernel, and a 1x1 kernel is one with the pixels that its stride leaves: nothing is saved there,
    but oneDNN's kernels are several times slower for the gradients of so small maps.

    Values and gradients equal the plain convolution's up to the order of summation; the gradient of
    a tap that only meets padding is exactly zero. Parameters, names and state dict are those of
    Conv2d, and larger maps take Conv2d's own path.
    """

    # What its MACs are counted by.
    plain_forward = nn.Conv2d.forward

    def forward(self, x: Tensor) -> Tensor:
        """Convolves `x`, shape (N, C, H, W)."""
        if torch.compiler.is_exporting():
            # An exported graph holds the plain operator; its runtime chooses the algorithm.
            return super().forward(x)
        rows, columns = (self._outputs(axis, size) for axis, size in enumerate(x.shape[-2:]))
        taps, outputs = math.prod(self.kernel_size), rows * columns
        if not outputs or x.dim() != 4:
            return super().forward(x)
        size = math.prod(x.shape[-2:])
        # The matrix has a block for each input and output, the kernel for each tap.
        if size < taps and size * outputs <= _MOST_BLOCKS * taps:
            inputs, bias = x.permute(0, 2, 3, 1).flatten(1), self.bias
            matrix = _Matrix.apply(self.weight, *map(self._windows, (0, 1), x.shape[-2:]))
            product = F.linear(inputs, matrix, None if bias is None else bias.repeat(outputs))
        elif outputs < taps or self._is_pointwise:
            # Flat, for one product: without gradients F.linear would make a batch of small ones.
            seen = self._seen(x).flatten(0, 2)
            product = F.linear(seen, self.weight.permute(0, 2, 3, 1).flatten(1), self.bias)
        else:
            return super().forward(x)
        out = product.view(len(x), rows, columns, self.out_channels).permute(0, 3, 1, 2)
        return out if x.is_contiguous(memory_format=torch.channels_last) else out.contiguous()

    @property
    def _is_pointwise(self) -> bool:
        return self.kernel_size == (1, 1) and self.padding == (0, 0)

    def _seen(self, x: Tensor) -> Tensor:
        """What the kernel sees for each output: (N, outputs down, outputs across, taps x C)."""
        if self._is_pointwise:
            down, across = self.stride
            return x.permute(0, 2, 3, 1)[:, ::down][:, :, ::across]
        patches: Tensor = _Patches.apply(x, self.kernel_size, self.stride, self.padding)
        return patches

    def _outputs(self, axis: int, size: int) -> int:
        """How many outputs there are along an axis; none where the kernel does not fit."""
        padding, kernel, stride = self.padding[axis], self.kernel_size[axis], self.stride[axis]
        assert isinstance(padding, int)
        return max(0, (size + 2 * padding - kernel) // stride + 1)

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
        taps, dtype = weight.permute(0, 2, 3, 1), _autocast_dtype(weight)
        blocks = [
            F.pad(taps[:, top, left].to(dtype), (0, 0, *beside, *above))
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


def _autocast_dtype(tensor: Tensor) -> torch.dtype:
    """What a matrix product would take `tensor` as."""
    device = tensor.device.type
    known = torch.amp.is_autocast_available(device)
    if tensor.dtype == torch.float32 and known and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return tensor.dtype


def _sum_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float32 if dtype in (torch.bfloat16, torch.float16) else dtype


class _Patches(torch.autograd.Function):
    """The inputs under a kernel, wherever it lies: (N, outputs down, outputs across, taps x C).

    A function of its own because the gradient of `Tensor.unfold` takes several times as long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
        """Gathers a row of taps x C inputs for each output pixel."""
        down, across = padding
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, across, across, down, down))
        ctx.geometry = padded.shape, kernel, stride, padding
        patches = padded.unfold(1, kernel[0], stride[0]).unfold(2, kernel[1], stride[1])
        return patches.permute(0, 1, 2, 4, 5, 3).flatten(3)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        """Adds up, for each input, the gradients of the taps that have seen it."""
        shape, kernel, stride, (down, across) = ctx.geometry
        rows, columns = gradients[0].shape[1:3]
        taps = gradients[0].reshape(len(gradients[0]), rows, columns, *kernel, shape[3])
        # Sums of up to as many as the kernel has taps: rounded once, not at each.
        gradient = gradients[0].new_zeros(shape, dtype=_sum_dtype(gradients[0].dtype))
        for top in range(kernel[0]):
            for left in range(kernel[1]):
                seen = slice(top, top + stride[0] * rows, stride[0])
                beside = slice(left, left + stride[1] * columns, stride[1])
                gradient[:, seen, beside] += taps[:, :, :, top, left]
        inner = gradient[:, down : shape[1] - down, across : shape[2] - across]
        return inner.permute(0, 3, 1, 2).to(gradients[0].dtype), None, None, None


def use_live_taps(network: nn.Module) -> nn.Module:
    """Turns, in place, every plain convolution that could profit into a LiveTapConv2d.

    Left alone: 1x1 kernels without a stride, groups, dilation, other padding than zeros or given as
    a word, and subclasses of Conv2d.
    """
    for module in network.modules():
        if (
            type(module) is nn.Conv2d
            and (module.kernel_size, module.stride) != ((1, 1), (1, 1))
            and module.groups == 1
            and module.dilation == (1, 1)
            and module.padding_mode == "zeros"
            and not isinstance(module.padding, str)
        ):
            module.__class__ = LiveTapConv2d
    return network
