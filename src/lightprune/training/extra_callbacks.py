"""The user's own callbacks in a training that prunes: they stop it at the final sparsity."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from lightprune.pruning.plan import Plan

# What a training logs.
METRICS = ("train/loss", "val/accuracy", "val/loss")


class StopAtFinalSparsity(Callback):
    """Lets callbacks stop a training at the final sparsity only; stands after them.

    A checkpoint keeps that the training was stopped. Lightning forgets it, and a resumed training
    would go on.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stopped = False
        self._trainer: Trainer | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._trainer = trainer
        trainer.should_stop = self._stopped  # In a resumed training.

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes back a stop that comes too early."""
        if not self._plan.final_at(trainer.current_epoch):
            trainer.should_stop = False

    def state_dict(self) -> dict[str, Any]:
        """Whether the training is stopped: Lightning calls EarlyStopping after all others."""
        return {"stopped": self._trainer is not None and self._trainer.should_stop}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._stopped = state_dict["stopped"]


def extra_callbacks(callbacks: Mapping[str, Callback], plan: Plan, folder: Path) -> list[Callback]:
    """Prepares the user's callbacks, by name, for a phase; changes them in place.

    ModelCheckpoint saves in `folder/checkpoints/NAME` unless it has a folder.
    """
    for name, callback in callbacks.items():
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(folder / "checkpoints" / name)
    return [*callbacks.values(), StopAtFinalSparsity(plan)] if callbacks else []
