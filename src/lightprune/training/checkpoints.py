"""What a training run saves: the last epoch for resuming, and the best one at final sparsity."""

from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from lightprune.files import replace_file
from lightprune.training.callback import PruningCallback

LAST, BEST = "last.ckpt", "best.ckpt"
_WEIGHTS = "network."


class FinalSparsityCheckpoint(ModelCheckpoint):
    """Ranks only epochs at the final sparsity: an earlier, denser one is no result."""

    def __init__(self, pruning: PruningCallback, **settings: Any) -> None:
        """Takes ModelCheckpoint's own settings and the callback whose plan it follows."""
        super().__init__(**settings)
        self._pruning = pruning

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves if the last event has passed."""
        if self._pruning.plan.final_at(trainer.current_epoch):
            super().on_train_epoch_end(trainer, pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves if the last event has passed."""
        if self._pruning.plan.final_at(trainer.current_epoch):
            super().on_validation_end(trainer, pl_module)


def checkpoint_callbacks(folder: Path, pruning: PruningCallback) -> list[ModelCheckpoint]:
    """Both checkpoints, in `folder`: every epoch as `last`, the best validated one as `best`."""
    shared: dict[str, Any] = {
        "dirpath": folder,
        "save_top_k": 1,
        "save_on_train_epoch_end": True,
        "auto_insert_metric_name": False,
        "enable_version_counter": False,
    }
    best = FinalSparsityCheckpoint(
        pruning, filename=Path(BEST).stem, monitor="val/accuracy", mode="max", **shared
    )
    return [best, ModelCheckpoint(filename=Path(LAST).stem, **shared)]


def saved_weights(checkpoint: Path) -> dict[str, Tensor]:
    """The network's own state dict out of a checkpoint."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    return {k.removeprefix(_WEIGHTS): v for k, v in state.items() if k.startswith(_WEIGHTS)}


class AtomicCheckpointIO(TorchCheckpointIO):
    """Replaces a checkpoint in one step.

    Lightning's own writes to the system's temporary folder first; from another file system that
    ends in a copy, which a kill can cut short.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None
    ) -> None:
        """Writes beside the target, then renames."""
        replace_file(Path(path), lambda partial: torch.save(checkpoint, partial))
