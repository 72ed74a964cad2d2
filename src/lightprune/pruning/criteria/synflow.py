"""Criterion: synaptic flow, without any data."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.errors import check_number
from lightprune.pruning.criteria.base import Criterion
from lightprune.pruning.criteria.context import ScoringContext


@dataclass(frozen=True)
class Synflow(Criterion):
    """Scores a weight by the synaptic flow |dR/d|w| * w|.

    R is the sum of the outputs for an image of ones, of the network with |w| in place of w. Each
    layer of a chain carries the whole flow R, so the fewer weights a layer keeps, the more
    each of them carries: with enough rounds no layer is emptied while another has two weights.
    In one round it empties layers as others do.

    Source: Tanaka et al. 2020, "Pruning neural networks without any data by iteratively
    conserving synaptic flow", section 6 and algorithm 1.

    Attributes:
        rounds: As of `Criterion`; the paper's default.
    """

    needs = ("synaptic_flow",)
    rounds: int = 100

    def __post_init__(self) -> None:
        check_number("pruner.criterion.rounds", self.rounds, 1, whole=True)

    def scores(self, weights: Mapping[str, Tensor], context: ScoringContext) -> dict[str, Tensor]:
        """The eighth roots of the flows in float32; an overflow of float64 counts as infinite.

        The flow multiplies through the layers and leaves float32's range, which is about the
        eighth root of float64's. Any rising map leaves the ranking as it is: this one has no
        settings, keeps six digits everywhere, where a logarithm keeps four, and is three square
        roots, which every device rounds alike.
        """
        flows, masks = context.synaptic_flow(), context.masks
        return {name: _root(flows[name], weight, masks[name]) for name, weight in weights.items()}


def _root(flow: Tensor, weight: Tensor, mask: Tensor) -> Tensor:
    scores = (flow * weight.detach()).abs_()
    # Even an infinite gradient sends nothing through a pruned weight.
    scores.masked_fill_(~mask | (weight == 0), 0).nan_to_num_(nan=torch.inf, posinf=torch.inf)
    return scores.sqrt_().sqrt_().sqrt_().float()
