"""The history of a phase, a row an epoch: in checkpoints, in metrics.csv, on the console."""

import math
import time
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer

from lightprune.callbacks.pruning_callback import PruningCallback
from lightprune.files import csv_text, write_text
from lightprune.pruning.event_record import EventRecord
from lightprune.rendering.console_table import print_line
from lightprune.training.classifier import as_classifier


@dataclass(frozen=True)
class EpochRow:
    """What an epoch ended with.

    Attributes:
        phase: `dense` or `finetune`.
        epoch: From 0.
        sparsity: The share of the prunable weights that are zero, as counted after the epoch.
        learning_rate: Of its last step.
        val_loss: On the validation images, without label smoothing; None without such images.
        val_accuracy: 0..1; None without validation images.
        seconds: Training, prune event and validation.
    """

    phase: str
    epoch: int
    sparsity: float
    learning_rate: float
    train_loss: float
    val_loss: float | None
    val_accuracy: float | None
    seconds: float


class EpochHistory(Callback):
    """Collects an EpochRow at the end of every epoch; stands after the pruning callback.

    Lightning's CSVLogger starts its file anew when a run resumes; these rows are part of the
    checkpoint, so `file`, which rank 0 writes after every epoch, always holds the whole run.
    """

    def __init__(self, phase: str, file: Path, pruning: PruningCallback) -> None:
        self.rows: list[EpochRow] = []
        self._phase = phase
        self._file = file
        self._pruning = pruning
        self._start = 0.0
        self._seconds = 0.0
        self._printed = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = time.perf_counter() - self._seconds
        self._printed = len(self._pruning.records)
        if trainer.global_step and trainer.is_global_zero:
            which = f"epoch {len(self.rows) + 1}/{trainer.max_epochs}"
            steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
            if trainer.global_step > len(self.rows) * steps:
                which = f"step {trainer.global_step + 1} ({which})"
            print_line(f"{self._phase} continues with {which}, where it was interrupted")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._print_new_events(trainer)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._print_new_events(trainer)

    def _print_new_events(self, trainer: Trainer) -> None:
        records = self._pruning.records
        for record in records[self._printed :] if trainer.is_global_zero else ():
            print_event(record)
        self._printed = len(records)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        evaluation = as_classifier(pl_module).evaluation
        row = EpochRow(
            phase=self._phase,
            epoch=trainer.current_epoch,
            sparsity=self._pruning.sparsity,
            learning_rate=trainer.optimizers[0].param_groups[0]["lr"],
            train_loss=float(trainer.callback_metrics["train/loss"]),
            val_loss=None if evaluation is None else evaluation.loss,
            val_accuracy=None if evaluation is None else evaluation.accuracy,
            seconds=time.perf_counter() - self._start,
        )
        self._start = time.perf_counter()
        self.rows.append(row)
        if trainer.is_global_zero:
            write_rows(self._file, self.rows)
            accuracy = row.val_accuracy
            validated = "" if accuracy is None else f"validation {accuracy:.2%}  "
            print_line(
                f"{row.phase} epoch {row.epoch + 1}/{trainer.max_epochs}  "
                f"loss {row.train_loss:.3f}  {validated}"
                f"sparsity {row.sparsity:.2%}  {row.seconds:.0f} s"
            )

    def state_dict(self) -> dict[str, Any]:
        seconds = time.perf_counter() - self._start
        return {"rows": [asdict(row) for row in self.rows], "seconds": seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = [EpochRow(**row) for row in state_dict["rows"]]
        self._seconds = state_dict.get("seconds", 0.0)  # Of an epoch that was broken off.


def print_event(record: EventRecord) -> None:
    """Prints one line about a prune event, and a warning for layers that it emptied."""
    where = f"epoch {record.epoch + 1}"
    if record.step is not None:
        where = f"step {record.step + 1} (epoch {record.epoch + 1})"
    target, sparsity = f"{record.target:.2%}", f"{record.sparsity:.2%}"
    if target != sparsity:
        sparsity = f"{target} -> {sparsity}"
    validated = ""
    if record.before is not None:
        validated = f", validation {record.before:.2%} -> {record.after:.2%}"
    if record.recalibrated is not None:
        validated += f", {record.recalibrated:.2%} with batch norms recalibrated"
    print_line(
        f"[bold]pruned[/] before {where}: sparsity {sparsity} ({record.pruned:,} zeros, "
        f"live {record.live_sparsity:.2%}){validated}"
    )
    if record.emptied:
        print_line(f"[yellow]warning[/]: nothing is left of {', '.join(record.emptied)}")


def write_rows(file: Path, rows: list[EpochRow]) -> None:
    """Writes rows as CSV, atomically."""
    columns = [field.name for field in fields(EpochRow)]
    write_text(file, csv_text(columns, map(astuple, rows)))
