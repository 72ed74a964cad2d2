"""What a criterion may ask of the network in training: gradients, flow, collected evidence."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import torch
from lightning import Trainer
from torch import Tensor, nn

from lightprune.callbacks.prunable_module import PrunableModule
from lightprune.callbacks.score_accumulator import ScoreAccumulator
from lightprune.distributed import all_reduce_sum_
from lightprune.pruning.masks import Masks
from lightprune.rng import drawing


@dataclass(frozen=True)
class NetworkProbe:
    """A `Probe` of the network that a trainer trains, as it is at a prune event.

    Each question is answered by a copy of the bare network, neither compiled nor wrapped, so that
    weights, buffers, gradients and modes stay as they are. All processes must ask.

    Attributes:
        trainer: Whose training images, and whose epoch.
        classifier: The network, and the loss it is trained with.
        example: Inputs of the size the network is used at, shape (N, C, H, W), on its device.
        evidence: Of a criterion that collects.
    """

    trainer: Trainer
    classifier: PrunableModule
    example: Tensor
    evidence: ScoreAccumulator | None

    def summed(
        self, score: Callable[[Tensor, Tensor], Tensor], batches: int, masks: Masks
    ) -> dict[str, Tensor]:
        """Sums a score of weights and gradients over this epoch's first training batches.

        Every process takes its share of each batch. The loss is the training's without the L1
        norm; layers behave as in training, with draws that depend on seed, epoch and rank alone.

        Args:
            score: As `Probe.summed` says.
            batches: How many; an epoch that has fewer gives all it has.
            masks: What is kept.
        """
        twin, weights = self._copy(masks)
        totals = {name: torch.zeros_like(weight) for name, weight in weights.items()}
        loader = self.trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        with torch.enable_grad(), drawing(*self.classifier.stream("probe")):
            for batch in islice(loader, batches):
                loss = self.classifier.cross_entropy(twin, batch)
                gradients = _gradients(loss, weights)
                for name, weight in weights.items():
                    totals[name] += score(weight.detach(), gradients[name])
        return {name: all_reduce_sum_(total) for name, total in totals.items()}

    def flow(self, masks: Masks) -> dict[str, Tensor]:
        """Gradients of the flow, as `Probe.flow` says, in evaluation mode and float64."""
        twin, weights = self._copy(masks)
        twin.double().eval()
        for value in (*twin.parameters(), *twin.buffers()):
            value.detach().abs_()
        image = torch.ones_like(self.example[:1], dtype=torch.float64)
        with torch.enable_grad():
            return _gradients(twin(self.classifier.arrange(image)).sum(), weights)

    def collected(self) -> dict[str, Tensor]:
        """The evidence so far, over all processes: they collect from averaged gradients."""
        assert self.evidence is not None
        return self.evidence.values

    def _copy(self, masks: Masks) -> tuple[nn.Module, dict[str, nn.Parameter]]:
        """A pruned copy of the network, and its prunable weights, by which it differentiates."""
        twin = copy.deepcopy(self.classifier.network)
        twin.requires_grad_(False)
        weights = {name: twin.get_parameter(name) for name in masks}
        masks.apply_({name: weight.detach() for name, weight in weights.items()})
        for weight in weights.values():
            weight.requires_grad_()
        return twin, weights


def _gradients(value: Tensor, weights: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    """The derivatives of a value by name; zeros for a weight that it does not depend on."""
    found = torch.autograd.grad(value, list(weights.values()), materialize_grads=True)
    return dict(zip(weights, found, strict=True))
