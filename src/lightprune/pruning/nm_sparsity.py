"""N:M sparsity: of each M consecutive input channels, N weights are kept."""

import re
from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.errors import InputError


@dataclass(frozen=True)
class NM:
    """N:M sparsity keeps `keep` of each `of` consecutive weights along the input channels.

    The weights of a group have one output channel and one kernel position: what sparse tensor
    cores multiply (`2:4`, of linear layers and of convolutions as matrices). Source: Mishra et
    al. 2021, "Accelerating Sparse Deep Neural Networks", section 3.

    Attributes:
        keep: N, at least 1.
        of: M, above N.
    """

    keep: int
    of: int

    @classmethod
    def parse(cls, text: object) -> "NM":
        """Reads `N:M`; InputError if it is anything else."""
        # Text alone: YAML reads an unquoted 2:4 as a number of base 60.
        parts = isinstance(text, str) and re.fullmatch(r"([1-9]\d{0,3}):([1-9]\d{0,3})", text)
        if not parts or int(parts[1]) >= int(parts[2]):
            raise InputError(
                f"pruner.pattern={text}: allowed is N:M, which keeps N of each M input channels, "
                "N below M, such as 2:4, or null"
            )
        return cls(int(parts[1]), int(parts[2]))

    def __str__(self) -> str:
        return f"{self.keep}:{self.of}"

    @property
    def density(self) -> float:
        """The share of weights that is kept."""
        return self.keep / self.of

    def covers(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor `(n_out, n_in, ...)` has input channels in whole groups."""
        return len(shape) > 1 and shape[1] % self.of == 0

    def prunable(self, kept: Tensor, *keys: Tensor) -> Tensor:
        """Marks the weights that may be pruned while every group keeps N.

        The keys sort the weights that are `kept`: the first key counts first, the lowest values
        are pruned first, ties by input channel.

        Returns:
            Bool, of their shape: M-N of each group of M, less those that are pruned already.
        """
        order = torch.arange(self.of, device=kept.device)
        order = order.view(self.of, *[1] * (kept.dim() - 2)).expand(self._grouped(kept).shape)
        for key in (*reversed(keys), kept):
            values = self._grouped(key.float())
            order = order.gather(2, values.gather(2, order).argsort(dim=2, stable=True))
        first = order[:, :, : self.of - self.keep]
        marks = torch.zeros(order.shape, dtype=torch.bool, device=kept.device)
        return marks.scatter_(2, first, True).flatten(1, 2).logical_and_(kept)

    def _grouped(self, tensor: Tensor) -> Tensor:
        rows, channels, *kernel = tensor.shape
        return tensor.reshape(rows, channels // self.of, self.of, *kernel)
