"""Checkpoints: sealed files of the last two epochs; the best epoch and snapshots within them."""

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor, nn

from lightprune.callbacks.pruning_callback import PruningCallback
from lightprune.distributed import from_rank_zero, is_rank_zero
from lightprune.files import check_readable, discard_partials, replace_file
from lightprune.pruning.event_record import PruningError
from lightprune.rendering.console_table import warn_unusable
from lightprune.training.classifier import as_classifier

LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
_SEAL = b"lightprune sha256 "
_SEALED = len(_SEAL) + hashlib.sha256().digest_size


class BestEpoch(Callback):
    """Keeps the weights of the best validated epoch; stands after the pruning callback.

    They are part of every checkpoint, so that a resumed run depends on one file alone. Only epochs
    at the final sparsity count: an earlier, denser one is no result. With `latest`, each of them
    counts as the best yet.

    Attributes:
        epoch: The best so far; None before the last prune event.
        weights: The network's state dict after it, on the CPU.
    """

    def __init__(self, pruning: PruningCallback, *, latest: bool = False) -> None:
        self.epoch: int | None = None
        self.weights: dict[str, Tensor] = {}
        self._accuracy = -1.0
        self._pruning = pruning
        self._latest = latest

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        accuracy = as_classifier(pl_module).accuracy or 0.0
        final = self._pruning.plan.final_at(trainer.current_epoch)
        if final and (self._latest or accuracy > self._accuracy):
            self._keep(trainer, pl_module)

    def _keep(self, trainer: Trainer, pl_module: LightningModule) -> None:
        classifier = as_classifier(pl_module)
        self.epoch, self._accuracy = trainer.current_epoch, classifier.accuracy or 0.0
        self.weights = _cpu_state(classifier.network)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "accuracy": self._accuracy, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epoch, self._accuracy = state_dict["epoch"], state_dict["accuracy"]
        self.weights = state_dict["weights"]


class LastTolerated(BestEpoch):
    """Keeps the weights of the last event after which the accuracy recovered to the plan's drop.

    The training ends where one did not, at the end of its recovery, as does a resumed one: the
    decision follows from the records.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends a training that was over when it was broken off."""
        if self._is_over(trainer.current_epoch):
            self._end(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Keeps the weights, or ends the training, where the recovery of an event ends."""
        trained = trainer.current_epoch + 1
        if self._is_over(trained):
            self._end(trainer)
        elif self._recovery_ends(trained):
            self._keep(trainer, pl_module)

    def _end(self, trainer: Trainer) -> None:
        first = self._pruning.records[0]
        if self.epoch is None:
            raise PruningError(
                f"schedule.drop={self._pruning.plan.drop:g}: at sparsity {first.sparsity:.2%}, "
                "after the first event, the validation accuracy recovered to "
                f"{first.recovered:.2%} of {first.before:.2%}; allowed are a larger drop, a "
                "smaller schedule.step, or more epochs of schedule.recovery"
            )
        trainer.should_stop = True

    def _is_over(self, trained: int) -> bool:
        records = self._pruning.records
        return self._recovery_ends(trained) and not self._pruning.plan.tolerates(
            records[0].before, records[-1].recovered
        )

    def _recovery_ends(self, trained: int) -> bool:
        """Whether an event's last epoch before the next, or of all, is the last one trained."""
        plan, records = self._pruning.plan, self._pruning.records
        return bool(records) and plan.cycle_at(trained - 1).stop == trained


class Snapshots(Callback):
    """Keeps the state dict after some of the epochs, for rewinding.

    Snapshots are part of every checkpoint; a resumed training keeps those of its checkpoint, also
    after other epochs than it is to keep itself.

    Attributes:
        states: The network's state dicts, on the CPU, by how many epochs were trained before.
    """

    def __init__(self, after: Collection[int] = ()) -> None:
        self.states: dict[int, dict[str, Tensor]] = {}
        self._after = after

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trained = trainer.current_epoch + 1
        if trained in self._after:
            self.states[trained] = _cpu_state(as_classifier(pl_module).network)

    def state_dict(self) -> dict[str, Any]:
        return {"states": self.states} if self.states else {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.states = dict(state_dict["states"])


def _cpu_state(network: nn.Module) -> dict[str, Tensor]:
    return {name: v.detach().cpu().clone() for name, v in network.state_dict().items()}


def save_every_epoch(folder: Path) -> ModelCheckpoint:
    """The callback that saves `folder/last.ckpt` at the end of every epoch."""
    return ModelCheckpoint(
        dirpath=folder,
        filename=Path(LAST).stem,
        save_top_k=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )


class SealedCheckpointIO(TorchCheckpointIO):
    """Replaces a checkpoint atomically, keeps the previous one, and seals both by a SHA-256.

    Lightning's own writes to the system's temporary folder first; from another file system that
    ends in a copy, which a kill can cut short.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        path = Path(path)

        def write(partial: Path) -> None:
            torch.save(checkpoint, partial)
            digest = _digest(partial, partial.stat().st_size)
            with partial.open("ab") as file:
                file.write(_SEAL + digest)

        replace_file(path, write, previous=path.with_name(PREVIOUS))


def is_intact(checkpoint: Path) -> bool:
    """Whether a checkpoint ends with the SHA-256 of its content.

    The seal follows the archive: torch.load finds the archive's end by itself.

    Raises:
        InputError: It may not be read.
    """
    check_readable(checkpoint)
    size = checkpoint.stat().st_size - _SEALED
    if size < 0:
        return False
    with checkpoint.open("rb") as file:
        file.seek(size)
        seal = file.read()
    return seal == _SEAL + _digest(checkpoint, size)


def _digest(file: Path, size: int) -> bytes:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while size and (block := stream.read(min(size, 1 << 20))):
            digest.update(block)
            size -= len(block)
    return digest.digest()


def latest_intact(folder: Path) -> tuple[Path | None, tuple[Path, ...]]:
    """The latest intact checkpoint of a folder, and the damaged ones that are later.

    Renames the damaged ones, so that the next epoch does not keep one as its predecessor.
    """
    damaged: list[Path] = []
    for checkpoint in (folder / LAST, folder / PREVIOUS):
        if not checkpoint.exists():
            continue
        if is_intact(checkpoint):
            return checkpoint, tuple(damaged)
        damaged.append(checkpoint.rename(checkpoint.with_suffix(".damaged")))
    return None, tuple(damaged)


def checkpoint_to_resume(folder: Path) -> Path | None:
    """The latest intact checkpoint, as rank 0 sees it; prints a line for every damaged one."""
    checkpoints = folder / "checkpoints"
    if is_rank_zero():
        discard_partials(folder)
        discard_partials(checkpoints)
    last, damaged = from_rank_zero(lambda: latest_intact(checkpoints))
    if is_rank_zero():
        consequence = f"continuing from {last.name}" if last else "starting the phase afresh"
        for checkpoint in damaged:
            warn_unusable(checkpoint, "its checksum does not match its content", consequence)
    return last
