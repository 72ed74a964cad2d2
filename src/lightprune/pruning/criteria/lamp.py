"""Criterion: layer-adaptive magnitude (LAMP)."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.pruning.criteria.base import Criterion
from lightprune.pruning.criteria.context import ScoringContext

_LARGEST = torch.finfo(torch.float32).max


@dataclass(frozen=True)
class Lamp(Criterion):
    """Scores a weight by its share of the squared norm of the weights not smaller than it.

    w_u^2 / (sum of w_v^2 over the v of the same tensor that are pruned no earlier than u), where
    a tensor's weights go by magnitude, and equal ones by index. Within a tensor this ranks as
    `Magnitude` does; between tensors it decides how sparse each becomes, without a setting. The
    largest weight of a tensor scores 1, so a global ranking empties none while others have any
    weight to lose.

    Source: Lee et al. 2021, "Layer-Adaptive Sparsity for the Magnitude-based Pruning".
    """

    def scores(self, weights: Mapping[str, Tensor], context: ScoringContext) -> dict[str, Tensor]:
        """The shares in float32, in [0, 1]; a zero scores 0, and so does what underflows.

        A NaN or an infinity counts as float32's largest number.
        """
        return {name: _lamp_scores(weight) for name, weight in weights.items()}


def _lamp_scores(weight: Tensor) -> Tensor:
    sizes = weight.detach().abs().float().nan_to_num_(nan=_LARGEST, posinf=_LARGEST).flatten()
    # The bits of floats that are not negative sort as they do, and integers sort by radix.
    ascending, order = sizes.view(torch.int32).sort(stable=True)
    energies = ascending.view(torch.float32).double().square_()
    remaining = energies.flip(0).cumsum(0).flip(0)
    # Only a tensor's zeros may have nothing above them: 0 / 1 instead of 0 / 0.
    shares = energies.div_(remaining.masked_fill_(remaining == 0, 1)).float()
    scores = torch.empty_like(sizes).scatter_(0, order, shares)
    return torch.empty_like(weight, dtype=torch.float32).copy_(scores.view(weight.shape))
