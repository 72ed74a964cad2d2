"""The Lightning adapter of the pruning core: prunes by plan, keeps pruned weights at zero."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import Optimizer

from lightprune.errors import InputError
from lightprune.pruning.masks import GradientMasks, Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.reachability import live_taps, multiplications
from lightprune.pruning.schedules import Plan, PruneEvent
from lightprune.pruning.targets import Targets
from lightprune.training.classifier import Classifier
from lightprune.training.events import EventRecord, PruningError, distance
from lightprune.training.ranks import agreed, share_buffers
from lightprune.training.remembered import mask_averages, mask_optimizer
from lightprune.training.soundness import check_alive, check_zeros, depends_on_input


class PruningCallback(Callback):
    """Carries out a Plan during `fit`; the network itself stays an ordinary one.

    Masks live here. An event happens before the first step of its epoch, so validation, metric
    and checkpoint of an epoch belong to the same weights. Gradients of pruned weights are zeroed
    before every step; with clean optimizer state no optimizer can then move these weights, and
    the end of every epoch checks it. Averages of the weights are pruned with the weights.

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
        fresh: Callable[[], Mapping[str, Tensor]] | None = None,
    ) -> None:
        """Prepares pruning; nothing happens before `fit`.

        Args:
            pruner: Decides the masks; None for a plan without events.
            plan: When and how much.
            targets: Which parameters.
            example: Inputs of the size the network is used at, shape (N, C, H, W), N >= 2; the
                network's outputs for them must differ after every event.
            optimizer_state: What an event does to it: `mask`, `reset` or `keep`.
            fresh: A state dict of the network as it is before any training; needed by pruners
                that reinitialise.
        """
        self.plan = plan
        self.records: list[EventRecord] = []
        self.masks: Masks | None = None
        self._pruner = pruner
        self._targets = targets
        self._example = example
        self._optimizer_state = optimizer_state
        self._fresh = fresh
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
        self._live = live_taps(network, self._weights, example)
        self._macs = multiplications(network, self._weights, example)
        masks = self.masks.like(self._weights) if self.masks else Masks.dense(self._weights)
        if self._restored is not None:
            masks = Masks.unpack(self._restored["masks"].numpy().tobytes(), self._weights)
            if masks.digest() != self._restored["digest"]:
                raise PruningError("checkpoint: its masks do not match their digest")
            self._restored = None
        self.masks = masks
        self._gradient_masks = GradientMasks(masks, self._weights)
        mask_averages(trainer, pl_module, masks)
        if self._optimizer_state == "keep":
            for optimizer in trainer.optimizers:
                optimizer.register_step_post_hook(lambda *_: self._apply())

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prunes, if the plan has an event here."""
        event = self.plan.event_at(trainer.current_epoch)
        if event is not None:
            assert isinstance(pl_module, Classifier)
            record = self._prune(trainer, pl_module, event)
            self.records.append(record)
            seen = {"prune/before": record.before, "prune/after": record.after}
            for logger in trainer.loggers:
                logger.log_metrics(seen, step=trainer.global_step)

    def _prune(self, trainer: Trainer, classifier: Classifier, event: PruneEvent) -> EventRecord:
        assert self._pruner is not None
        assert self.masks is not None
        assert self._live is not None
        share_buffers(trainer, classifier.network)
        batches = trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
        before = classifier.evaluate(batches).accuracy
        decided = self._pruner.prune(
            self._weights, self.masks, event.sparsity, final=self.plan.final, macs=self._macs
        )
        self.masks = agreed(trainer, decided, self._weights)
        moved = distance(self._weights, self.masks, self._live)
        self._gradient_masks = GradientMasks(self.masks, self._weights)
        if self._pruner.weights == "reinitialise" and event == self.plan.events[-1]:
            assert self._fresh is not None
            classifier.network.load_state_dict(self._fresh())
        self._apply()
        mask_averages(trainer, classifier, self.masks)
        for optimizer in trainer.optimizers:
            if self._optimizer_state == "reset":
                optimizer.state.clear()
            elif self._optimizer_state == "mask":
                mask_optimizer(optimizer, self._weights, self.masks)
        if not depends_on_input(classifier, self._example.to(classifier.device)):
            raise PruningError(
                f"schedule: at sparsity {event.sparsity:g} (epoch {event.epoch}) the network's "
                "output no longer depends on its input; allowed is a lower sparsity or a "
                "pruner.floor above 0"
            )
        return EventRecord.of(
            event,
            self.masks,
            self._live,
            distance=moved,
            before=before,
            after=classifier.evaluate(batches).accuracy,
        )

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Zeroes the gradients of pruned weights."""
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
            assert isinstance(pl_module, Classifier)
            assert pl_module.evaluation is not None
            self.records[-1] = replace(self.records[-1], recovered=pl_module.evaluation.accuracy)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks that pruned weights are zero and that the network sees its input."""
        assert isinstance(pl_module, Classifier)
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
        """Masks, records, and what they belong to."""
        if self.masks is None or self._pruner is None:
            return {}
        packed = np.frombuffer(self.masks.pack(), np.uint8).copy()
        return {
            "belongs_to": self._identity(),
            "masks": torch.from_numpy(packed),
            "digest": self.masks.digest(),
            "records": [record.dump() for record in self.records],
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores what `state_dict` gave.

        Raises:
            InputError: It belongs to another network, plan or pruner.
        """
        if not state_dict:
            return
        for name, mine in self._identity().items():
            theirs = state_dict["belongs_to"][name]
            for place in [*mine, *theirs]:
                if theirs.get(place) != mine.get(place):
                    raise InputError(
                        f"checkpoint: its {name} is {place}={theirs.get(place)}, this run's is "
                        f"{place}={mine.get(place)}; allowed is a checkpoint of the same "
                        "experiment (force=true starts afresh)"
                    )
        self._restored = state_dict
        self.records = [EventRecord.load(record) for record in state_dict["records"]]

    def _identity(self) -> dict[str, dict[str, str]]:
        events = {f"event {i}": repr(event) for i, event in enumerate(self.plan.events)}
        return {
            "pruner": _described(self._pruner),
            "plan": {"epochs": str(self.plan.epochs), **events},
            "network": {name: str(tuple(weight.shape)) for name, weight in self._weights.items()},
        }

    def _apply(self) -> None:
        assert self.masks is not None
        self.masks.apply_({name: weight.detach() for name, weight in self._weights.items()})


def _described(pruner: Pruner | None) -> dict[str, str]:
    """A pruner's settings, without the addresses that a plain object's repr shows."""
    if pruner is None:
        return {}
    settings = {field.name: str(getattr(pruner, field.name)) for field in fields(pruner)}
    kind = type(pruner.criterion)
    own = getattr(pruner.criterion, "__dict__", {})
    if is_dataclass(pruner.criterion):
        own = {f.name: getattr(pruner.criterion, f.name) for f in fields(pruner.criterion)}
    return {**settings, "criterion": f"{kind.__module__}.{kind.__qualname__}({own})"}


def _network(module: LightningModule) -> nn.Module:
    assert isinstance(module, Classifier)
    return module.network
