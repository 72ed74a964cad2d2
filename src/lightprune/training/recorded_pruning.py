"""The experiment's PruningCallback: measures around events, resets weights, watches outputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn

from lightprune.callbacks.pruning_callback import PruningCallback
from lightprune.pruning.batch_norm import recalibrate
from lightprune.pruning.cost.cost_report import LayerCost, cost_report
from lightprune.pruning.criteria.probe import NetworkProbe
from lightprune.pruning.event_record import EventRecord, PruningError, distance, live_sparsity_of
from lightprune.pruning.masks import Masks
from lightprune.pruning.plan import Plan, PruneEvent
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets
from lightprune.training.classifier import Classifier, as_classifier
from lightprune.training.invariants import check_alive, depends_on_input


@dataclass(frozen=True)
class WeightReset:
    """Replaces the trained weights after an event, which has ranked them before.

    Attributes:
        state: Returns a state dict of the network.
        always: At every event; otherwise at the last one.
    """

    state: Callable[[], Mapping[str, Tensor]]
    always: bool


def weight_reset(
    weights: str, fresh: Callable[[], Mapping[str, Tensor]], early: Mapping[str, Tensor] | None
) -> WeightReset | None:
    """The reset that `Pruner.weights` stands for.

    `fresh` returns a state dict as it is before any training; `early` is one early in the dense
    training, for `rewind`.
    """
    if weights == "rewind" and early is None:
        raise ValueError("pruner.weights=rewind: there are no early weights")
    resets = {
        "reinitialise": WeightReset(fresh, always=False),
        "rewind": WeightReset(lambda: early or {}, always=True),
    }
    return resets.get(weights)


class RecordedPruning(PruningCallback):
    """Prunes the network of a Classifier; `records` has an `EventRecord` of each event so far."""

    record_type = EventRecord
    replaces_weights = True

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
        masks: Masks | None = None,
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
            masks: What is pruned from the start; None for nothing.
        """
        super().__init__(
            pruner,
            plan,
            module="network",
            targets=targets,
            example=example,
            optimizer_state=optimizer_state,
        )
        self._images = example
        self._weight_reset = weight_reset
        self._masks = masks
        self._recalibrate = recalibrate
        self._cost: tuple[int, LayerCost] | None = None

    @property
    def state_key(self) -> str:
        """There is one in a trainer."""
        return "PruningCallback"

    @property
    def log_name(self) -> str:
        """There is one network."""
        return "sparsity/nominal"

    @property
    def given_live_sparsity(self) -> float:
        """Of what is pruned from the start."""
        if self._masks is None or self._live is None:
            return 0.0
        return live_sparsity_of(self._masks.like(self._live), self._live)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Has gradients computed with the loss of the classifier."""
        self._loss = as_classifier(pl_module).loss
        super().setup(trainer, pl_module, stage)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins with the given masks, unless a checkpoint has later ones."""
        super().on_fit_start(trainer, pl_module)
        sparsifier = self._fitted_sparsifier
        if self._masks is not None and not sparsifier.masks.pruned:
            self.hold(trainer, pl_module, self._masks.like(sparsifier.weights))

    def prune(self, trainer: Trainer, pl_module: LightningModule, event: PruneEvent) -> EventRecord:
        """Performs a prune event, and measures around it.

        Raises:
            PruningError: The network's output no longer depends on its input, or the weights of
                the ranks differ.
        """
        classifier, sparsifier = as_classifier(pl_module), self._fitted_sparsifier
        assert self._live is not None
        _broadcast_buffers(classifier.network)
        before = _accuracy(trainer, classifier)
        masks = self.next_masks(trainer, pl_module, event)
        moved = distance(sparsifier.weights, masks, self._live)
        is_reset = self._reset_weights(event, classifier.network)
        self.hold(trainer, pl_module, masks, "reset" if is_reset else None)
        self._check_output(event, classifier)
        after = _accuracy(trainer, classifier)
        recalibrated = self._recalibrated_accuracy(trainer, classifier)
        return EventRecord.of(
            event,
            masks,
            self._live,
            distance=moved,
            before=before,
            after=after,
            recalibrated=recalibrated,
        )

    def probe(self, trainer: Trainer, pl_module: LightningModule) -> NetworkProbe:
        """A probe with the draws and the training images of this epoch."""
        loader = trainer.datamodule.train_dataloader  # type: ignore[attr-defined]
        return self._fitted_sparsifier.probe(
            self._loss, loader, as_classifier(pl_module).rng_key("probe")
        )

    def logged(self, record: Any) -> dict[str, float]:
        """The accuracies around an event; nothing without validation images."""
        measured = {name: getattr(record, name) for name in ("before", "after", "recalibrated")}
        if record.after is not None:
            measured["drop"] = record.before - record.after
        return {f"prune/{name}": value for name, value in measured.items() if value is not None}

    def read_metric(self, trainer: Trainer, pl_module: LightningModule) -> float | None:
        """The validation accuracy, 0..1; None before the first validation."""
        return as_classifier(pl_module).accuracy

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks that pruned weights are zero and that the output depends on the input.

        A network of which it does not is no failure where its accuracy ends the pruning.
        """
        super().on_train_epoch_end(trainer, pl_module)
        self._log_cost(as_classifier(pl_module))
        before = self.records[0].before if self.records else 0.0
        accuracy = self.read_metric(trainer, pl_module)
        if accuracy is not None and not self.plan.tolerates(before, accuracy):
            return
        example = self._images.to(pl_module.device)
        check_alive(
            pl_module, example, trainer.current_epoch, self._fitted_sparsifier.masks.sparsity
        )

    def _log_cost(self, classifier: Classifier) -> None:
        """Logs live sparsity, and the MACs of non-zero weights that some input reaches."""
        # Masks change at events alone.
        if self._cost is None or self._cost[0] != len(self.records):
            example = self._images[:1].to(classifier.device)
            total = cost_report(classifier.network, self._fitted_sparsifier.weights, example).total
            self._cost = len(self.records), total
        cost = self._cost[1]
        classifier.log("sparsity/live", cost.live_sparsity, sync_dist=True)
        if cost.macs_live is not None:
            classifier.log("macs", float(cost.macs_live), sync_dist=True)

    def _reset_weights(self, event: PruneEvent, network: nn.Module) -> bool:
        if self._weight_reset is None:
            return False
        is_due = self._weight_reset.always or event == self.plan.events[-1]
        if is_due:
            network.load_state_dict(self._weight_reset.state())
        return is_due

    def _check_output(self, event: PruneEvent, classifier: Classifier) -> None:
        if self.plan.drop is not None:  # Its accuracy will tell.
            return
        if not depends_on_input(classifier, self._images.to(classifier.device)):
            raise PruningError(
                f"schedule: at sparsity {event.sparsity:g} (epoch {event.epoch}) the network's "
                "output no longer depends on its input; allowed is a lower sparsity or a "
                "pruner.floor above 0"
            )

    def _recalibrated_accuracy(self, trainer: Trainer, classifier: Classifier) -> float | None:
        """Recalibrates batch norms; returns the accuracy afterwards, None where it does not."""
        if not self._recalibrate:
            return None
        loader = trainer.datamodule.train_dataloader()  # type: ignore[attr-defined]
        images = (images for images, _ in islice(loader, self._recalibrate))
        with trainer.precision_plugin.forward_context():
            recalibrate(classifier, images)
        return _accuracy(trainer, classifier)


def _accuracy(trainer: Trainer, classifier: Classifier) -> float | None:
    """Validation accuracy of the network as it stands, 0..1; None without validation images."""
    if not trainer.enable_validation:
        return None
    batches = trainer.datamodule.val_dataloader()  # type: ignore[attr-defined]
    limit = trainer.limit_val_batches  # That of the epochs' validation, a share where all count.
    return classifier.evaluate(islice(batches, limit if isinstance(limit, int) else None)).accuracy


def _broadcast_buffers(network: nn.Module) -> None:
    if torch.distributed.is_initialized():
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, 0)
