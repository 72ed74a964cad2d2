"""The user's own callbacks in a training that prunes: which may join, and when they stop it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    DeviceStatsMonitor,
    EarlyStopping,
    GradientAccumulationScheduler,
    LearningRateMonitor,
    ModelCheckpoint,
    ProgressBar,
    StochasticWeightAveraging,
    Timer,
    WeightAveraging,
)

from lightprune.callbacks.monitors import MONITORS
from lightprune.callbacks.pruning_callback import PruningCallback
from lightprune.data.sources import Source
from lightprune.errors import InputError, check_choice
from lightprune.pruning.schedules import Schedule, Until
from lightprune.training.checkpoints import save_every_epoch

# What a training logs.
METRICS = ("train/loss", "val/accuracy", "val/loss")


class StopAtFinalSparsity(Callback):
    """Lets callbacks stop a training at the end of an epoch at the final sparsity.

    It stands after them. A stop before the last prune event is taken back. One within an epoch
    waits for its end: Lightning would break it off, and every later epoch after one batch.

    A checkpoint keeps that the training was stopped. Lightning forgets it, and a resumed training
    would go on.
    """

    def __init__(self, pruning: PruningCallback) -> None:
        self._pruning = pruning
        self._requested = False  # Within this epoch.
        self._stopped = False
        self._trainer: Trainer | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes back a stop before any step: of a resumed Timer, whose time is over."""
        trainer.should_stop = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._trainer = trainer
        trainer.should_stop = self._stopped  # In a resumed training.

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Puts a stop off to the end of the epoch."""
        requested = self._requested or trainer.should_stop
        self._requested = requested and self._pruning.is_final
        trainer.should_stop = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops at the final sparsity alone."""
        requested = self._requested or trainer.should_stop
        trainer.should_stop = requested and self._pruning.is_final

    def state_dict(self) -> dict[str, Any]:
        """Whether the training is stopped: Lightning calls EarlyStopping after all others."""
        stopped = self._trainer is not None and self._trainer.should_stop
        return {"stopped": stopped, "requested": self._requested}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._stopped = state_dict["stopped"]
        self._requested = state_dict["requested"]


def extra_callbacks(
    callbacks: Mapping[str, Callback], pruning: PruningCallback, folder: Path
) -> list[Callback]:
    """Prepares the user's callbacks, by name, for a phase; changes them in place.

    ModelCheckpoint saves in `folder/checkpoints/NAME` unless it has a folder.
    """
    for name, callback in callbacks.items():
        if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
            callback.dirpath = str(folder / "checkpoints" / name)
    return [*callbacks.values(), StopAtFinalSparsity(pruning)] if callbacks else []


def check_callbacks(
    callbacks: Mapping[str, Callback], source: Source, schedule: Schedule | None, *, logs: bool
) -> None:
    """Raises InputError for callbacks that cannot join a fine-tuning.

    Lightning would refuse them after hours of training, or they would test other weights, or
    events and learning rates would not come where the plan has them.
    """
    state_keys = {save_every_epoch(Path()).state_key}
    for name, callback in callbacks.items():
        key = f"callbacks.{name}"
        if isinstance(callback, MONITORS) and callback.monitor is not None:
            check_choice(f"{key}.monitor", callback.monitor, METRICS)
            if source.validation == "none" and callback.monitor.startswith("val/"):
                raise InputError(
                    f"{key}.monitor={callback.monitor}: data.validation=none validates nothing; "
                    "allowed are train/loss, or validation images"
                )
        if isinstance(callback, WeightAveraging | StochasticWeightAveraging):
            raise InputError(
                f"{key}: averages the weights beside the run, which would validate the average "
                "and test other weights, or train longer; allowed is recipe.finetune.ema_decay"
            )
        if isinstance(callback, LearningRateMonitor | DeviceStatsMonitor) and not logs:
            raise InputError(
                f"{key}: writes to a logger, and there is none; allowed is logger=tensorboard"
            )
        if isinstance(callback, GradientAccumulationScheduler):
            raise InputError(
                f"{key}: changes how many steps an epoch has, and with it learning rates and "
                "events; allowed is trainer.accumulate_grad_batches"
            )
        if isinstance(callback, EarlyStopping | Timer) and isinstance(schedule, Until):
            raise InputError(
                f"{key}: may end the training before the last event is judged, by which "
                "schedule=until decides; allowed is another schedule"
            )
        if isinstance(callback, ProgressBar):
            raise InputError(f"{key}: is a progress bar; allowed is trainer.progress=true")
        if type(callback).state_dict is not Callback.state_dict:
            if callback.state_key in state_keys:
                raise InputError(
                    f"{key}: saves its state under the name of another, {callback.state_key}; "
                    "allowed are callbacks whose classes or settings differ"
                )
            state_keys.add(callback.state_key)
