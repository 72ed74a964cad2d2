"""The Probe of a network in training: gradients, synaptic flow and accumulated scores."""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from lightprune.distributed import all_reduce_sum_
from lightprune.errors import InputError
from lightprune.pruning.cost.example import Example, Inputs
from lightprune.pruning.criteria.context import Score
from lightprune.pruning.criteria.score_accumulator import ScoreAccumulator
from lightprune.pruning.masks import Masks
from lightprune.rng import fork_named_rng

Loss = Callable[[nn.Module, Any], Tensor]


@dataclass(frozen=True)
class NetworkProbe:
    """A `Probe` of a network as it is at a prune event; all processes must call.

    Everything is computed by a copy of the network, neither compiled nor wrapped, so that weights,
    buffers, gradients and modes stay as they are.

    Attributes:
        loss: The mean loss of a copy of the network on a batch.
        batches: Iterates over training batches from the start, on the network's device; every
            process has its share of each.
        example: Inputs of the size the network is used at, on its device.
        accumulator: Of a criterion that accumulates scores.
        rng_key: Of what layers and batches draw at random (`rng.named_seed`).
    """

    network: nn.Module
    loss: Loss | None = None
    batches: Callable[[], Iterable[Any]] | None = None
    example: Example | None = None
    accumulator: ScoreAccumulator | None = None
    rng_key: tuple[int | str, ...] = ("probe",)

    def gradient_scores(self, score: Score, batches: int, masks: Masks) -> dict[str, Tensor]:
        """Sums a score of weights and gradients over the first training batches.

        Layers behave as in training, with draws that depend on `rng_key` alone. An epoch that has
        fewer batches gives all it has. `score` is as of `ScoringContext.gradient_scores`.
        """
        if self.loss is None or self.batches is None:
            raise InputError(
                "pruner.criterion: needs loss and batches; allowed is prune_(..., probe="
                "sparsifier.probe(loss, batches)), or another criterion"
            )
        replica, weights = self._copy(masks)
        # In half precision products of small weights and gradients would all be zero.
        dtypes = {n: torch.promote_types(w.dtype, torch.float32) for n, w in weights.items()}
        totals = {n: torch.zeros_like(w, dtype=dtypes[n]) for n, w in weights.items()}
        with torch.enable_grad(), fork_named_rng(*self.rng_key):
            for batch in islice(self.batches(), batches):
                gradients = _gradients(self.loss(replica, batch), weights)
                for name, weight in weights.items():
                    dtype = dtypes[name]
                    totals[name] += score(weight.detach().to(dtype), gradients[name].to(dtype))
        return {name: all_reduce_sum_(total) for name, total in totals.items()}

    def synaptic_flow(self, masks: Masks) -> dict[str, Tensor]:
        """As of `ScoringContext.synaptic_flow`, in evaluation mode and float64.

        Inputs are ones; those that are no floating-point numbers stay as they are. Of several
        outputs all count.
        """
        if self.example is None:
            raise InputError("pruner.criterion: needs the size of the inputs; allowed is example=")
        replica, weights = self._copy(masks)
        replica.double().eval()
        for value in (*replica.parameters(), *replica.buffers()):
            if value.is_floating_point():
                value.detach().abs_()
        ones = Inputs.of(self.example).first().map(_ones)
        with torch.enable_grad():
            return _gradients(_sum(ones.call(replica)), weights)

    def accumulated(self) -> dict[str, Tensor]:
        """What has accumulated so far: of all processes, as their gradients are averaged."""
        assert self.accumulator is not None
        return self.accumulator.state

    def _copy(self, masks: Masks) -> tuple[nn.Module, dict[str, nn.Parameter]]:
        replica = copy.deepcopy(self.network)
        replica.requires_grad_(False)
        weights = {name: replica.get_parameter(name) for name in masks}
        masks.apply_({name: weight.detach() for name, weight in weights.items()})
        for weight in weights.values():
            weight.requires_grad_()
        return replica, weights


def _ones(value: Tensor) -> Tensor:
    if not value.is_floating_point():
        return value
    return torch.ones_like(value, dtype=torch.float64)


def _sum(outputs: Any) -> Tensor:
    """Of all numbers in outputs of any structure."""
    tensors = [t for t in tree_leaves(outputs) if isinstance(t, Tensor) and t.is_floating_point()]
    if not tensors:
        raise InputError(
            f"module: its output is {type(outputs).__name__}, in which no tensor is found; allowed "
            "are tensors, in tuples, lists and dicts, or another criterion"
        )
    return torch.stack([tensor.sum() for tensor in tensors]).sum()


def _gradients(value: Tensor, weights: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    gradients = torch.autograd.grad(value, list(weights.values()), materialize_grads=True)
    return dict(zip(weights, gradients, strict=True))
