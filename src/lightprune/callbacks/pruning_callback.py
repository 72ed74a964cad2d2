"""The Lightning adapter of the pruning core: prunes by plan, keeps pruned weights at zero."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from lightprune.callbacks.fingerprint import Fingerprint, check_compatible, fingerprint_of
from lightprune.callbacks.invariants import check_alive, check_zeros
from lightprune.callbacks.optimizer_state import mask_averages
from lightprune.callbacks.prunable_module import PrunableModule
from lightprune.callbacks.prune_step import PruneContext, PruneStep, WeightReset
from lightprune.callbacks.score_accumulator import ScoreAccumulator
from lightprune.pruning.event_record import EventRecord, PruningError
from lightprune.pruning.mac_counts import macs_per_weight
from lightprune.pruning.masks import GradientMasks, Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.reachability import live_masks
from lightprune.pruning.schedules import Plan
from lightprune.pruning.targets import Targets


class PruningCallback(Callback):
    """Carries out a Plan during `fit`; the network itself stays an ordinary one.

    Masks live here. An event happens before the first step of its epoch, so validation, metric
    and checkpoint of an epoch belong to the same weights. Gradients of pruned weights are zeroed
    before every step; with clean optimizer state no optimizer can then move these weights, and
    the end of every epoch checks it. Averages of the weights are pruned with the weights. A
    criterion that accumulates scores sees the gradients of every step before they are zeroed.

    Attributes:
        plan: The events.
        records: What the events so far did.
        masks: Which weights are kept; None before the first fit.
    """

    def __init__(
        self,
        pruner: Pruner | None,
        plan: Plan,
        targets: Targets,
        example: Tensor,
        *,
        optimizer_state: str = "mask",
        replacement: WeightReset | None = None,
        recalibrate: int = 0,
    ) -> None:
        """Prepares pruning; nothing happens before `fit`.

        Args:
            pruner: Decides the masks; None for a plan without events.
            plan: When and how much.
            targets: Which parameters.
            example: Inputs of the size the network is used at, shape (N, C, H, W), N >= 2; the
                network's outputs for them must differ after every event.
            optimizer_state: What an event does to it: `mask`, `reset` or `keep`.
            replacement: The weights that go on after an event; None for the trained ones.
            recalibrate: On how many training batches an event estimates batch norms anew.
        """
        self.plan = plan
        self.records: list[EventRecord] = []
        self.masks: Masks | None = None
        self._pruner = pruner
        self._targets = targets
        self._example = example
        self._optimizer_state = optimizer_state
        self._procedure = (
            PruneStep(pruner, plan, optimizer_state, replacement, recalibrate) if pruner else None
        )
        criterion = pruner.criterion if pruner else None
        self._accumulator = (
            ScoreAccumulator(criterion) if criterion and "accumulated" in criterion.needs else None
        )
        self._weights: dict[str, nn.Parameter] = {}
        self._gradient_masks: GradientMasks | None = None
        self._live: Masks | None = None
        self._macs: dict[str, Tensor] = {}
        self._restored: dict[str, Any] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds the prunable weights."""
        self._weights = self._targets.find(_network(pl_module))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes masks (restored ones, or such that keep all) to the weights' device."""
        network = _network(pl_module)
        example = self._example.to(pl_module.device)
        self._macs = macs_per_weight(network, self._weights, example)
        self._live = live_masks(self._weights, self._macs)
        masks = self.masks.like(self._weights) if self.masks else Masks.dense(self._weights)
        if self._restored is not None:
            masks = Masks.unpack(self._restored["masks"].numpy().tobytes(), self._weights)
            if masks.digest() != self._restored["digest"]:
                raise PruningError("checkpoint: its masks do not match their digest")
            self._restored = None
        self.masks = masks
        if self._accumulator is not None:
            self._accumulator.to(self._weights)
        self._gradient_masks = GradientMasks(masks, self._weights)
        mask_averages(trainer, pl_module, masks)
        if self._optimizer_state == "keep":
            for optimizer in trainer.optimizers:
                optimizer.register_step_post_hook(lambda *_: self._apply())

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prunes, if the plan has an event here."""
        event = self.plan.event_at(trainer.current_epoch)
        if event is not None:
            assert self._procedure is not None
            assert self.masks is not None
            self.masks, record = self._procedure.carry_out(
                event, self._site(trainer, pl_module), self.masks
            )
            self._gradient_masks = GradientMasks(self.masks, self._weights)
            self.records.append(record)
            seen = {"prune/before": record.before, "prune/after": record.after}
            if record.recalibrated is not None:
                seen["prune/recalibrated"] = record.recalibrated
            for logger in trainer.loggers:
                logger.log_metrics(seen, step=trainer.global_step)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Accumulates scores for events to come, and zeroes the gradients of pruned weights."""
        if self._accumulator is not None and not self.plan.final_at(trainer.current_epoch):
            self._accumulator.update_(self._weights)
        if self.records:
            assert self._gradient_masks is not None
            gradients = {n: w.grad for n, w in self._weights.items() if w.grad is not None}
            self._gradient_masks.apply_(gradients)

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Checks the zeros of what is validated: other callbacks may have swapped weights in."""
        if trainer.state.fn == "fit" and batch_idx == 0:
            assert self.masks is not None
            check_zeros(self.masks, self._weights, trainer.current_epoch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes how far accuracy has recovered from the last event."""
        if trainer.state.fn == "fit" and self.records:
            assert isinstance(pl_module, PrunableModule)
            self.records[-1] = replace(self.records[-1], recovered=pl_module.last_accuracy)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks that pruned weights are zero and that the network sees its input."""
        assert isinstance(pl_module, PrunableModule)
        assert self.masks is not None
        check_zeros(self.masks, self._weights, trainer.current_epoch)
        example = self._example.to(pl_module.device)
        check_alive(pl_module, example, trainer.current_epoch, self.masks.sparsity)
        pl_module.log("sparsity", self.masks.sparsity, sync_dist=True)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks the zeros of what training ends with: averages have come in by now."""
        assert self.masks is not None
        check_zeros(self.masks, self._weights, trainer.current_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Masks, records, accumulated scores, and the fingerprint of what they belong to."""
        if self.masks is None or self._pruner is None:
            return {}
        packed = np.frombuffer(self.masks.pack(), np.uint8).copy()
        accumulated = {} if self._accumulator is None else {"accumulated": self._accumulator.state}
        return {
            "belongs_to": self._belonging(),
            "masks": torch.from_numpy(packed),
            "digest": self.masks.digest(),
            "records": [record.dump() for record in self.records],
            **accumulated,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what `state_dict` gave.

        Raises:
            InputError: It belongs to another network, plan or pruner.
        """
        if not state_dict:
            return
        check_compatible(state_dict["belongs_to"], self._belonging())
        self._restored = state_dict
        self.records = [EventRecord.load(record) for record in state_dict["records"]]
        if self._accumulator is not None:
            self._accumulator.state = state_dict["accumulated"]

    def _belonging(self) -> Fingerprint:
        return fingerprint_of(self._pruner, self.plan, self._weights)

    def _site(self, trainer: Trainer, module: LightningModule) -> PruneContext:
        assert isinstance(module, PrunableModule)
        assert self._live is not None
        example = self._example.to(module.device)
        return PruneContext(
            trainer, module, self._weights, example, self._live, self._macs, self._accumulator
        )

    def _apply(self) -> None:
        assert self.masks is not None
        self.masks.apply_({name: weight.detach() for name, weight in self._weights.items()})


def _network(module: LightningModule) -> nn.Module:
    assert isinstance(module, PrunableModule)
    return module.network
