"""The Probe of a network in training: gradients, synaptic flow and accumulated scores."""

import copy
from dataclasses import dataclass
from itertools import islice

import torch
from lightning import Trainer
from torch import Tensor, nn

from lightprune.callbacks.prunable_module import PrunableModule
from lightprune.callbacks.score_accumulator import ScoreAccumulator
from lightprune.distributed import all_reduce_sum_
from lightprune.pruning.criteria.context import Score
from lightprune.pruning.masks import Masks
from lightprune.rng import fork_named_rng


@dataclass(frozen=True)
class NetworkProbe:
    """A `Probe` of the network that a trainer trains, as it is at a prune event.

    Everything is computed by a copy of the bare network, neither compiled nor wrapped, so that
    weights, buffers, gradients and modes stay as they are. All processes must call.

    Attributes:
        trainer: Has the training images and the epoch.
        module: The network, and the loss it is trained with.
        example: Inputs of the size the network is used at, shape (N, C, H, W), on its device.
        accumulator: Of a criterion that accumulates scores.
    """

    trainer: Trainer
    module: PrunableModule
    example: Tensor
    accumulator: ScoreAccumulator | None

    def gradient_scores(self, score: Score, batches: int, masks: Masks) -> dict[str, Tensor]:
        """Sums a score of weights and gradients over this epoch's first training batches.

        Every process takes its share of each batch. The loss is the training's without the L1
        norm; layers behave as in training, with draws that depend on seed, epoch and rank alone.

        Args:
            score: As of `ScoringContext.gradient_scores`.
            batches: How many; an epoch that has fewer gives all it has.
            masks: Which weights are kept.
        """
        replica, weights = self._copy(masks)
        totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        loader = self.trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        with torch.enable_grad(), fork_named_rng(*self.module.rng_key("probe")):
            for batch in islice(loader, batches):
                loss = self.module.cross_entropy(replica, batch)
                gradients = _gradients(loss, weights)
                for name, weight in weights.items():
                    totals[name] += score(weight.detach(), gradients[name])
        return {name: all_reduce_sum_(total) for name, total in totals.items()}

    def synaptic_flow(self, masks: Masks) -> dict[str, Tensor]:
        """As of `ScoringContext.synaptic_flow`, in evaluation mode and float64."""
        replica, weights = self._copy(masks)
        replica.double().eval()
        for value in (*replica.parameters(), *replica.buffers()):
            value.detach().abs_()
        image = torch.ones_like(self.example[:1], dtype=torch.float64)
        with torch.enable_grad():
            return _gradients(replica(self.module.to_memory_format(image)).sum(), weights)

    def accumulated(self) -> dict[str, Tensor]:
        """What has accumulated so far: of all processes, as their gradients are averaged."""
        assert self.accumulator is not None
        return self.accumulator.state

    def _copy(self, masks: Masks) -> tuple[nn.Module, dict[str, nn.Parameter]]:
        """A pruned copy of the network, and its prunable weights, by which it differentiates."""
        replica = copy.deepcopy(self.module.network)
        replica.requires_grad_(False)
        weights = {name: replica.get_parameter(name) for name in masks}
        masks.apply_({name: weight.detach() for name, weight in weights.items()})
        for weight in weights.values():
            weight.requires_grad_()
        return replica, weights


def _gradients(value: Tensor, weights: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    gradients = torch.autograd.grad(value, list(weights.values()), materialize_grads=True)
    return dict(zip(weights, gradients, strict=True))
