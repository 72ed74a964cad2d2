"""Masks: bool tensors by parameter name, True = kept; counted, applied, packed and hashed."""

import hashlib
import warnings
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from lightprune.distributed import is_rank_zero
from lightprune.errors import first_of


class Masks(Mapping[str, Tensor]):
    """Which weights are kept, by parameter name: bool tensors, True = kept.

    Elements are numbered in logical (row-major) order whatever the memory layout, so packing
    and digests agree across devices and layouts.
    """

    def __init__(self, kept: Mapping[str, Tensor]) -> None:
        self._kept = dict(kept)

    @classmethod
    def dense(cls, weights: Mapping[str, Tensor]) -> "Masks":
        """Masks that keep every weight, on the weights' devices; they take no memory."""
        return cls(
            {
                name: torch.ones((), dtype=torch.bool, device=w.device).expand(w.shape)
                for name, w in weights.items()
            }
        )

    def __getitem__(self, name: str) -> Tensor:
        return self._kept[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept)

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def total(self) -> int:
        """How many weights there are."""
        return sum(mask.numel() for mask in self._kept.values())

    @property
    def kept(self) -> int:
        """How many weights are kept (nnz)."""
        return sum(int(mask.count_nonzero()) for mask in self._kept.values())

    @property
    def pruned(self) -> int:
        """How many weights are pruned."""
        return self.total - self.kept

    @property
    def sparsity(self) -> float:
        """The share of weights that are pruned, 0..1."""
        return self.pruned / self.total

    def emptied(self) -> tuple[str, ...]:
        """The names of the parameters whose every weight is pruned."""
        return tuple(name for name, mask in self._kept.items() if not mask.any())

    def __repr__(self) -> str:
        return f"Masks({self.pruned:,} of {self.total:,} weights pruned)"

    def like(self, weights: Mapping[str, Tensor]) -> "Masks":
        """The same masks on the device and in the memory layout of each weight."""
        return Masks(
            {
                name: torch.empty_like(weights[name], dtype=torch.bool).copy_(mask)
                for name, mask in self._kept.items()
            }
        )

    @torch.no_grad()
    def apply_(self, weights: Mapping[str, Tensor]) -> None:
        """Sets pruned entries to +0.0 in place, even where they are not finite.

        The tensors by name (weights, or gradients or momenta of them) are all or some of those that
        are masked.
        """
        for name, weight in weights.items():
            mask = self._kept[name].to(weight.device)
            torch.where(mask, weight, weight.new_zeros(()), out=weight)

    def violations(self, weights: Mapping[str, Tensor]) -> dict[str, int]:
        """How many pruned entries of each weight are not zero, for weights that have any."""
        # A trainer takes the weights off a GPU before a fit is over, and leaves the masks there.
        counts = {
            name: int(
                (weights[name].detach() != 0)
                .logical_and_(~mask.to(weights[name].device))
                .count_nonzero()
            )
            for name, mask in self._kept.items()
        }
        return {name: count for name, count in counts.items() if count}

    def pack(self) -> bytes:
        """One bit a weight, parameters one after the other, each padded to a whole byte."""
        return b"".join(
            np.packbits(mask.detach().cpu().contiguous().numpy().reshape(-1)).tobytes()
            for mask in self._kept.values()
        )

    @classmethod
    def unpack(cls, packed: bytes, weights: Mapping[str, Tensor]) -> "Masks":
        """Reads `pack`'s bytes back, for weights of the same names and shapes.

        Raises:
            ValueError: `packed` has another length than these weights need.
        """
        sizes = {name: (w.numel() + 7) // 8 for name, w in weights.items()}
        if len(packed) != sum(sizes.values()):
            raise ValueError(
                f"packed masks hold {len(packed)} bytes, these weights need {sum(sizes.values())}"
            )
        kept, start = {}, 0
        for name, weight in weights.items():
            chunk = np.frombuffer(packed, np.uint8, sizes[name], start)
            bits = np.unpackbits(chunk, count=weight.numel()).view(np.bool_)
            kept[name] = torch.from_numpy(bits).reshape(weight.shape)
            start += sizes[name]
        return cls(kept).like(weights)

    def digest(self) -> str:
        """A SHA-256 over names, shapes and bits: equal masks <=> equal digest."""
        shapes = [(name, tuple(mask.shape)) for name, mask in self._kept.items()]
        return hashlib.sha256(repr(shapes).encode() + self.pack()).hexdigest()


_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class BitMasks:
    """Masks in the form that zeroes gradients and weights fastest, as every training step does.

    Integers of the weights' element size, all bits set where a weight is kept: one vectorised AND,
    in about half the time of a selection by bools, for as much memory as the weights. They are made
    at their first use, and again where a module has moved to another device or dtype.
    """

    def __init__(self, masks: Masks) -> None:
        self._masks = masks
        self._bits: dict[str, Tensor] = {}

    @torch.no_grad()
    def apply_(self, tensors: Mapping[str, Tensor]) -> None:
        """As `Masks.apply_`, for weights or their gradients."""
        for name, tensor in tensors.items():
            bits = self._bits.get(name)
            integer = _INTEGERS[tensor.element_size()]
            if bits is None or bits.dtype != integer or bits.device != tensor.device:
                bits = torch.empty_like(tensor, dtype=integer).copy_(self._masks[name]).neg_()
                self._bits[name] = bits
            tensor.view(integer).bitwise_and_(bits)


def warn_of_emptied(masks: Masks) -> None:
    """Warns, on rank 0, of parameters whose every weight is pruned: nothing passes them."""
    if (emptied := masks.emptied()) and is_rank_zero():
        warnings.warn(
            f"nothing is left of {first_of(emptied)}: the output may not depend on the input any "
            "more; Pruner(floor=0.01) keeps a share of every layer, scope='local' prunes all alike",
            stacklevel=3,
        )
