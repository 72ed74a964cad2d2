"""Checkpoints within epochs, as often as they cost little of the training's time."""

import time
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor

from lightprune.distributed import from_rank_zero, gather_in_order
from lightprune.training.classifier import as_classifier

# The largest share of a training's time that goes into them.
_SHARE = 0.01


class StepCheckpoints(Checkpoint):
    """Saves within epochs, after blocks of optimizer steps, so that a kill costs little.

    The first block is saved, and later ones once enough time has passed since the last. The
    position in the epoch is kept by Lightning and the batches; the training loss so far, of every
    process, is kept here.
    """

    def __init__(self, file: Path, every_n_steps: int) -> None:
        """Saves to `file`, at most after every `every_n_steps` steps."""
        self._file = file
        self._every = every_n_steps
        self._saved_at = self._cost = 0.0
        self._losses: Tensor | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Goes on with the training loss of an epoch that was broken off."""
        if self._losses is not None:
            as_classifier(pl_module).resume_train_loss(self._losses[trainer.global_rank])
            self._losses = None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Saves, if a block has ended; the end of an epoch is saved after its validation.

        Raises:
            NonFiniteLossError: Training has diverged.
        """
        has_stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        is_due = has_stepped and trainer.global_step % self._every == 0
        if is_due and not trainer.is_last_batch and from_rank_zero(self._is_cheap):
            start = time.perf_counter()
            classifier = as_classifier(pl_module)
            classifier.check_weights()
            self._losses = gather_in_order([classifier.train_loss_state()[None]])
            trainer.save_checkpoint(self._file)
            self._losses = None
            self._saved_at = time.perf_counter()
            self._cost = self._saved_at - start

    def _is_cheap(self) -> bool:
        return _SHARE * (time.perf_counter() - self._saved_at) >= self._cost

    def state_dict(self) -> dict[str, Any]:
        """The training loss so far of every process, in a checkpoint within an epoch."""
        return {} if self._losses is None else {"losses": self._losses}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps what `state_dict` returned for the start of the training."""
        self._losses = state_dict["losses"]
