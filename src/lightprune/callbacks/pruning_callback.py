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
from lightprune.errors import InputError
from lightprune.pruning.cost.mac_counts import macs_per_weight
from lightprune.pruning.event_record import EventRecord, PruningError
from lightprune.pruning.masks import BitMasks, Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.reachability import live_masks
from lightprune.pruning.schedules import Plan
from lightprune.pruning.targets import Targets


class PruningCallback(Callback):
    """Performs a plan's prune events during `fit`; the network itself stays an ordinary one.

    Masks live here. An event happens before the first step of its epoch, so validation, metric
    and checkpoint of an epoch belong to the same weights. Gradients of pruned weights are zeroed
    before every step, and the weights themselves after it: an optimizer that mixes the entries of
    a tensor (Muon, SOAP, Shampoo) moves weights whose gradient is zero. The end of every epoch
    checks the zeros. Averages of the weights are pruned with the weights. A
    criterion that accumulates scores sees the gradients of every step before they are zeroed.

    Attributes:
        plan: The prune events.
        records: One of each event so far.
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
        weight_reset: WeightReset | None = None,
        recalibrate: int = 0,
    ) -> None:
        """Prepares pruning; nothing happens before `fit`.

        Args:
            pruner: Decides the masks; None for a plan without events.
            plan: The prune events.
            targets: Which parameters are prunable.
            example: Inputs of the size the network is used at, shape (N, C, H, W), N >= 2; the
                network's outputs for them must differ after every event.
            optimizer_state: What an event does to it: `mask`, `reset` or `keep`.
            weight_reset: Replaces the trained weights after an event; None keeps them.
            recalibrate: On how many training batches an event estimates batch norms anew.
        """
        self.plan = plan
        self.records: list[EventRecord] = []
        self.masks: Masks | None = None
        self._pruner = pruner
        self._targets = targets
        self._example = example
        self._optimizer_state = optimizer_state
        self._prune_step = (
            PruneStep(pruner, plan, optimizer_state, weight_reset, recalibrate) if pruner else None
        )
        criterion = pruner.criterion if pruner else None
        self._accumulator = (
            ScoreAccumulator(criterion) if criterion and "accumulated" in criterion.needs else None
        )
        self._weights: dict[str, nn.Parameter] = {}
        self._bit_masks: BitMasks | None = None  # None while no weight is pruned.
        self._live: Masks | None = None
        self._macs: dict[str, Tensor] = {}
        self._restored: dict[str, Any] | None = None

    @property
    def sparsity(self) -> float:
        """The share of the prunable weights that are zero now, 0..1, pruned or not."""
        zeros = sum(int((weight == 0).sum()) for weight in self._weights.values())
        return zeros / sum(weight.numel() for weight in self._weights.values())

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds the prunable weights."""
        self._weights = self._targets.find(_network(pl_module))

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Moves masks (restored ones, or dense ones) to the weights' device."""
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
        self._hold(masks)
        if self._accumulator is not None:
            self._accumulator.to(self._weights)
        mask_averages(trainer, pl_module, masks)
        for optimizer in trainer.optimizers:
            optimizer.register_step_post_hook(lambda *_: self._zero_weights())

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prunes, if the plan has an event at this epoch."""
        event = self.plan.event_at(trainer.current_epoch)
        if event is not None:
            assert self._prune_step is not None
            assert self.masks is not None
            masks, record = self._prune_step.run(
                event, self._context(trainer, pl_module), self.masks
            )
            self._hold(masks)
            self.records.append(record)
            metrics = {"prune/before": record.before, "prune/after": record.after}
            if record.recalibrated is not None:
                metrics["prune/recalibrated"] = record.recalibrated
            for logger in trainer.loggers:
                logger.log_metrics(metrics, step=trainer.global_step)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Accumulates scores for events to come, and zeroes the gradients of pruned weights."""
        if self._accumulator is not None and not self.plan.final_at(trainer.current_epoch):
            self._accumulator.update_(self._weights)
        if self._bit_masks is not None:
            gradients = {n: w.grad for n, w in self._weights.items() if w.grad is not None}
            self._bit_masks.apply_(gradients)

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Checks the zeros of the validated weights, which other callbacks may have swapped in."""
        if trainer.state.fn == "fit" and batch_idx == 0:
            assert self.masks is not None
            check_zeros(self.masks, self._weights, trainer.current_epoch)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Records how far accuracy has recovered since the last event."""
        if trainer.state.fn == "fit" and self.records:
            assert isinstance(pl_module, PrunableModule)
            self.records[-1] = replace(self.records[-1], recovered=pl_module.last_accuracy)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks that pruned weights are zero and that the output depends on the input."""
        assert isinstance(pl_module, PrunableModule)
        assert self.masks is not None
        check_zeros(self.masks, self._weights, trainer.current_epoch)
        example = self._example.to(pl_module.device)
        check_alive(pl_module, example, trainer.current_epoch, self.masks.sparsity)
        pl_module.log("sparsity", self.sparsity, sync_dist=True)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks the zeros of the final weights, which may be averages by now."""
        assert self.masks is not None
        check_zeros(self.masks, self._weights, trainer.current_epoch)

    def state_dict(self) -> dict[str, Any]:
        """Masks, records, accumulated scores, and the fingerprint of pruner, plan and network."""
        if self.masks is None or self._pruner is None:
            return {}
        packed = np.frombuffer(self.masks.pack(), np.uint8).copy()
        accumulated = {} if self._accumulator is None else {"accumulated": self._accumulator.state}
        return {
            "fingerprint": self._fingerprint(),
            "masks": torch.from_numpy(packed),
            "digest": self.masks.digest(),
            "records": [record.dump() for record in self.records],
            **accumulated,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what `state_dict` returned.

        Raises:
            InputError: It is of another network, plan or pruner, or of another version.
        """
        if not state_dict:
            return
        if "fingerprint" not in state_dict:
            raise InputError(
                "checkpoint: its masks were saved by another version of lightprune; allowed is a "
                "checkpoint of this one (force=true starts afresh)"
            )
        check_compatible(state_dict["fingerprint"], self._fingerprint())
        self._restored = state_dict
        self.records = [EventRecord.load(record) for record in state_dict["records"]]
        if self._accumulator is not None:
            self._accumulator.state = state_dict["accumulated"]

    def _fingerprint(self) -> Fingerprint:
        return fingerprint_of(self._pruner, self.plan, self._weights)

    def _context(self, trainer: Trainer, module: LightningModule) -> PruneContext:
        assert isinstance(module, PrunableModule)
        assert self._live is not None
        example = self._example.to(module.device)
        return PruneContext(
            trainer, module, self._weights, example, self._live, self._macs, self._accumulator
        )

    def _hold(self, masks: Masks) -> None:
        """Keeps the pruned weights of these masks at zero from now on."""
        self.masks = masks
        self._bit_masks = BitMasks(masks, self._weights) if masks.pruned else None

    def _zero_weights(self) -> None:
        if self._bit_masks is not None:
            self._bit_masks.apply_({name: w.detach() for name, w in self._weights.items()})


def _network(module: LightningModule) -> nn.Module:
    assert isinstance(module, PrunableModule)
    return module.network
