"""PruningCallback: performs a plan's prune events in the training of any LightningModule."""

from dataclasses import replace
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn

from lightprune.callbacks.checks import check_first_event, check_loss, check_metric
from lightprune.callbacks.fingerprint import (
    Fingerprint,
    check_compatible,
    check_version,
    fingerprint_of,
)
from lightprune.callbacks.masked_training import MaskedTraining, located
from lightprune.callbacks.monitors import monitor_at_final_sparsity
from lightprune.callbacks.planning import due_events, needs_batches, plan_of, position, schedule_of
from lightprune.callbacks.training_batches import training_batches
from lightprune.errors import InputError, check_kind
from lightprune.pruning.cost.example import Example
from lightprune.pruning.criteria.probe import Loss, NetworkProbe
from lightprune.pruning.event_record import PruneRecord
from lightprune.pruning.masks import Masks, warn_of_emptied
from lightprune.pruning.plan import Plan, PruneEvent
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.reachability import live_masks
from lightprune.pruning.schedules import Schedule
from lightprune.pruning.targets import ANY_LAYER, Targets


class PruningCallback(MaskedTraining):
    """Performs a plan's prune events during `fit`; the module itself stays an ordinary one.

        pruning = PruningCallback(Pruner(), Cubic(0.95), metric="val/acc")
        Trainer(max_epochs=30, callbacks=[pruning]).fit(module)

    Works in any LightningModule, with batches of any kind, and several times in one Trainer. An
    event happens before the first step of its epoch, so validation, metric and checkpoint of an
    epoch belong to the same weights; or before the step that `every_n_steps` chooses. EarlyStopping
    and ModelCheckpoint rank by a metric once the last event has happened. A training that is
    resumed ends with the same bits as one that is not interrupted.

    Attributes:
        plan: The prune events; of a schedule, once a fit has begun.
        records: One of each event so far.
        sparsifier: Has weights and masks; None before the first fit.
    """

    record_type: type[PruneRecord] = PruneRecord

    def __init__(
        self,
        pruner: Pruner | None = None,
        schedule: Schedule | Plan | str = "cubic",
        *,
        sparsity: float | None = None,
        every_n_steps: int | None = None,
        module: str = "",
        targets: Targets = ANY_LAYER,
        metric: str | None = None,
        example: Example | None = None,
        loss: Loss | None = None,
        optimizer_state: str = "mask",
    ) -> None:
        """Prepares pruning; nothing happens before `fit`.

        Args:
            pruner: Decides the masks; None for magnitudes over all weights together.
            schedule: Laid out over the epochs of the Trainer; or its name, with `sparsity`.
            sparsity: The absolute share of zeros after the last event of a schedule by name.
            every_n_steps: Of a schedule by name: events at so many optimizer steps (of the
                Trainer's `global_step`) instead of at every epoch.
            module: The part of the LightningModule that is pruned, as `student`; "" for all.
            targets: Which of its parameters are prunable.
            metric: Of the validation, as `val/acc`: what records tell before and after events.
            example: A batch of the module's inputs, for live weights and MACs: a tensor, a tuple of
                tensors, or a dict of them by argument name.
            loss: The mean loss of a copy of the module on a training batch, for criteria that
                need gradients.
            optimizer_state: What an event does to it: `mask` zeroes that of pruned weights,
                `reset` clears all, `keep` leaves it.

        Raises:
            InputError: An argument is of another type, or the schedule is none.
        """
        super().__init__(pruner, targets, module, example, optimizer_state)
        check_kind("metric", metric, str | None, "the name of what the validation logs")
        self.records: list[Any] = []
        self._schedule = schedule_of(schedule, sparsity, every_n_steps)
        self.plan = self._schedule if isinstance(self._schedule, Plan) else Plan((), 1)
        self._metric = metric
        self._last_metric: float | None = None
        self._events_done = 0
        self._fingerprint: Fingerprint | None = None
        self._loss = loss
        self._live: Masks | None = None

    @property
    def is_final(self) -> bool:
        """Whether all events have happened."""
        return self._events_done >= len(self.plan.events)

    @property
    def state_key(self) -> str:
        """Of the checkpoint: another for each part and targets."""
        if not self._module and self._targets == ANY_LAYER:
            return "PruningCallback"
        return f"PruningCallback({self._module!r}, {self._targets})"

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finds the weights, restores what a checkpoint or an earlier fit left, makes the plan."""
        check_loss(self._pruner, self._loss)
        check_metric(trainer, self._metric)
        monitor_at_final_sparsity(trainer.callbacks)  # type: ignore[attr-defined]
        self._fingerprint = self._restored.get("fingerprint")
        super().on_fit_start(trainer, pl_module)
        if self._fingerprint is None and trainer.global_step == 0:
            self._events_done = 0
        if not needs_batches(self._schedule, trainer):
            self._lay_out(trainer)
        sparsifier = self._fitted_sparsifier
        if sparsifier.macs is not None:
            self._live = live_masks(sparsifier.weights, sparsifier.macs)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Makes the plan where it depends on the number of batches, which is known by now.

        Raises:
            InputError: The events do not fit, or are over.
        """
        if needs_batches(self._schedule, trainer):
            self._lay_out(trainer)
        if self._fingerprint is None and not self._events_done:
            check_first_event(self.plan, position(self.plan, trainer), self.state_key)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prunes, if the plan has an event here."""
        self._prune_if_due(trainer, pl_module)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Prunes where the start of the epoch did not, and before the steps of the plan.

        A training that resumes from the end of the last batch before an epoch skips that start.
        Scores accumulate for events to come alone.
        """
        super().on_train_batch_start(trainer, pl_module, batch, batch_idx)
        self._prune_if_due(trainer, pl_module)
        self._fitted_sparsifier.accumulates = not self.is_final

    def _lay_out(self, trainer: Trainer) -> None:
        self.plan = plan_of(self._schedule, trainer)
        if self._fingerprint is not None:
            check_compatible(self._fingerprint, fingerprint_of(self._pruner, self.plan))

    def _prune_if_due(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for event in due_events(self.plan, trainer, self._events_done):
            record = self.prune(trainer, pl_module, event)
            self.records.append(record)
            self._events_done = self.plan.events.index(event) + 1
            for logger in trainer.loggers:
                logger.log_metrics(self.logged(record), step=trainer.global_step)

    def prune(self, trainer: Trainer, pl_module: LightningModule, event: PruneEvent) -> PruneRecord:
        """Performs a prune event; all processes must call."""
        masks = self.next_masks(trainer, pl_module, event)
        self.hold(trainer, pl_module, masks)
        warn_of_emptied(masks)
        return PruneRecord.of(event, masks, self._live, before=self._last_metric)

    def next_masks(self, trainer: Trainer, pl_module: LightningModule, event: PruneEvent) -> Masks:
        """The masks of an event, the same ones on every rank."""
        with located(trainer):
            return self._fitted_sparsifier.next_masks(
                event.sparsity,
                final=self.plan.final,
                progress=self.plan.progress_at(event),
                probe=self.probe(trainer, pl_module),
            )

    def probe(self, trainer: Trainer, pl_module: LightningModule) -> NetworkProbe:
        """The probe for criteria and regrowth."""
        key = ("probe", position(self.plan, trainer), trainer.global_rank)
        return self._fitted_sparsifier.probe(self._loss, lambda: training_batches(trainer), key)

    def logged(self, record: Any) -> dict[str, float]:
        """What loggers get of an event."""
        return {f"prune/{self.log_name}": record.sparsity}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Records how far the metric has recovered since the last event."""
        if trainer.state.fn != "fit":
            return
        metric = self.read_metric(trainer, pl_module)
        if metric is not None and not trainer.sanity_checking:
            self._last_metric = metric
            if self.records:
                self.records[-1] = replace(self.records[-1], recovered=metric)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks the zeros, and warns if the training ended before the last event."""
        super().on_fit_end(trainer, pl_module)
        missed = self.plan.events[self._events_done :]
        if missed and self.plan.drop is None:
            rank_zero_warn(
                f"the training ended before the event at {self.plan.unit} {missed[0].position}: "
                f"{self.log_name} is {self.sparsity:.4g}, not {self.plan.final:.4g}"
            )

    def read_metric(self, trainer: Trainer, pl_module: LightningModule) -> float | None:
        """The metric of the validation that has ended; None without one."""
        if self._metric is None:
            return None
        if self._metric not in trainer.callback_metrics:
            names = ", ".join(trainer.callback_metrics) or "none"
            raise InputError(f"metric={self._metric}: allowed are those of validation, {names}")
        return float(trainer.callback_metrics[self._metric])

    def restore(self, state: dict[str, Any]) -> None:
        """Restores masks, records and metric; none of an empty state."""
        super().restore(state)
        self.records = [self.record_type.load(record) for record in state.get("records", ())]
        self._last_metric = state.get("metric")
        self._events_done = state.get("events_done", 0)

    def state_dict(self) -> dict[str, Any]:
        """Masks, records, accumulated scores, and the fingerprint of pruner and plan."""
        if self.sparsifier is None or not self.plan.events:
            return {}
        return {
            "fingerprint": fingerprint_of(self._pruner, self.plan),
            **self.sparsifier.state_dict(),
            "records": [record.dump() for record in self.records],
            "metric": self._last_metric,
            "events_done": self._events_done,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps what `state_dict` returned; the fit starts with `restore`.

        Raises:
            InputError: It is of another version.
        """
        check_version(state_dict)
        self._restored = state_dict
