"""What a sparse network costs, per layer and in total: nnz, live nnz, MACs, compression."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lightprune.pruning.cost.example import Example
from lightprune.pruning.cost.mac_counts import MacCounts, count_macs


@dataclass(frozen=True)
class LayerCost:
    """Counts of one prunable weight, or sums of them.

    A MAC is one multiply-accumulate of a weight with an input element, padding included, as is
    usual; `macs_live` leaves out kernel positions that only ever meet padding.

    Attributes:
        live: Weights that some input can reach.
        nnz: Those that are not zero.
        live_nnz: Those that are both.
        macs: MACs of the dense layer for one input; None if they are unknown, as they are where a
            network reads a weight neither in a layer nor as a factor of a product.
        macs_nnz: MACs of the non-zero weights; `macs_live` of the non-zero live ones.
    """

    weights: int
    live: int
    nnz: int
    live_nnz: int
    macs: int | None
    macs_nnz: int | None
    macs_live: int | None

    @property
    def sparsity(self) -> float:
        """Nominal sparsity: the share of zeros among all weights."""
        return 1 - self.nnz / self.weights

    @property
    def live_sparsity(self) -> float:
        """The share of zeros among the weights that some input can reach."""
        return 1 - self.live_nnz / self.live if self.live else 0.0

    @property
    def mac_density(self) -> float | None:
        """The share of the dense MACs that non-zero live weights need; None if it is unknown."""
        if self.macs is None or self.macs_live is None:
            return None
        return self.macs_live / self.macs if self.macs else 0.0

    @property
    def macs_reached(self) -> int | None:
        """MACs of the dense layer without those of unreachable weights; None if unknown."""
        return None if self.macs is None else self.macs * self.live // self.weights

    def __add__(self, other: "LayerCost") -> "LayerCost":
        pairs = zip(self.counts(), other.counts(), strict=True)
        sums: Any = (None if a is None or b is None else a + b for a, b in pairs)
        return LayerCost(*sums)

    def counts(self) -> tuple[Any, ...]:
        """The seven counts in the order of the fields."""
        return tuple(vars(self).values())


@dataclass(frozen=True)
class CostReport:
    """The cost of a network.

    Attributes:
        layers: Costs by parameter name, in the network's order.
        parameters: All parameters of the network, prunable or not.
    """

    layers: dict[str, LayerCost]
    parameters: int

    @property
    def total(self) -> LayerCost:
        """The sum over the prunable weights."""
        return sum(self.layers.values(), LayerCost(0, 0, 0, 0, 0, 0, 0))

    @property
    def compression_prunable(self) -> float:
        """Prunable weights divided by non-zero ones (infinite if there is none)."""
        return self.total.weights / self.total.nnz if self.total.nnz else float("inf")

    @property
    def compression_parameters(self) -> float:
        """All parameters divided by those that are not pruned (infinite if there is none)."""
        remaining = self.parameters - self.total.weights + self.total.nnz
        return self.parameters / remaining if remaining else float("inf")


def cost_report(network: nn.Module, weights: Mapping[str, Tensor], example: Example) -> CostReport:
    """Counts weights and MACs of a network as it stands; args as of `count_macs`."""
    used = count_macs(network, weights, example)
    layers = {
        name: _layer_cost(weight.detach(), used.get(name)) for name, weight in weights.items()
    }
    return CostReport(layers, sum(p.numel() for p in network.parameters()))


def _layer_cost(weight: Tensor, used: MacCounts | None) -> LayerCost:
    nonzero = weight != 0
    live = torch.tensor(True) if used is None else used.data > 0
    live = live.to(weight.device).expand_as(weight)
    both = nonzero & live
    macs: tuple[int | None, int | None, int | None] = (None, None, None)
    if used is not None:
        dense = weight.numel() // used.applied.numel() * int(used.applied.sum())
        macs = dense, _macs(nonzero, used.applied), _macs(both, used.applied)
    return LayerCost(
        weight.numel(),
        int(live.count_nonzero()),
        int(nonzero.count_nonzero()),
        int(both.count_nonzero()),
        *macs,
    )


def _macs(kept: Tensor, applied: Tensor) -> int:
    if applied.numel() == 1:
        return int(kept.count_nonzero()) * int(applied)
    # Summed before they are multiplied: a product for every weight would be eight times its size.
    return int((kept.sum_to_size(applied.shape).cpu() * applied).sum())
