"""The sparse baseline of torch itself: linear and convolution as products with CSR matrices."""

import copy
import warnings
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Unfolded inputs of more float32 values are multiplied in parts.
_LARGEST_UNFOLDED = 2**24


class _CsrLinear(nn.Module):
    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight = layer.weight.detach().to_sparse_csr()
        self.bias = layer.bias

    def forward(self, features: Tensor) -> Tensor:
        out = (self.weight @ features.T).T
        return out if self.bias is None else out + self.bias


class _CsrConv(nn.Module):  # In one group, with zero padding: unfold, then one product.
    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        self.weight = layer.weight.detach().flatten(1).contiguous().to_sparse_csr()
        self.bias = layer.bias
        assert not isinstance(layer.padding, str)
        self.window = layer.kernel_size, layer.dilation, layer.padding, layer.stride

    def forward(self, images: Tensor) -> Tensor:
        size = [
            (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
            for n, kernel, dilation, padding, stride in zip(
                images.shape[2:], *self.window, strict=True
            )
        ]
        images_per_part = max(1, _LARGEST_UNFOLDED // (self.weight.shape[1] * prod(size)))
        parts = [self._part(part, size) for part in torch.split(images, images_per_part)]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _part(self, images: Tensor, size: list[int]) -> Tensor:
        columns = F.unfold(images, *self.window)
        wide = columns.transpose(0, 1).reshape(self.weight.shape[1], -1)
        out = (self.weight @ wide).view(-1, len(images), *size).transpose(0, 1)
        return out if self.bias is None else out + self.bias[:, None, None]


def with_csr_weights(network: nn.Module) -> nn.Module:
    """A copy whose linear layers and convolutions multiply with their non-zero weights only.

    Grouped convolutions, and those whose padding is a word or not of zeros, stay dense.
    """
    sparse = copy.deepcopy(network)
    # Torch warns at the first use that CSR is in beta.
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
    for name, layer in list(sparse.named_modules()):
        if isinstance(layer, nn.Linear):
            replacement: nn.Module = _CsrLinear(layer)
        elif (
            isinstance(layer, nn.Conv2d)
            and layer.groups == 1
            and layer.padding_mode == "zeros"
            and not isinstance(layer.padding, str)
        ):
            replacement = _CsrConv(layer)
        else:
            continue
        parent, _, last = name.rpartition(".")
        setattr(sparse.get_submodule(parent), last, replacement)
    return sparse
