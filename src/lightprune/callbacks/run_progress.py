"""One progress bar for a run on a terminal: the epoch of its phase, and the time left for all."""

import time
from typing import Any

from lightning import Callback, LightningModule, Trainer
from rich import get_console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from lightprune.rendering.number_format import about

# Batches before which the time that they take says little.
_FIRST_BATCHES = 5
# Seconds.
_SHOWN_EVERY = 0.1


class RunProgress(Callback):
    """Shows `finetune epoch 3/30`, the batches of that epoch, and the time left for the whole run.

    The time is that of the batches so far, with validations and prune events, for as many images
    as are left: no thread, and no line once the phase has ended.
    """

    def __init__(self, phase: str, batch_size: int, images_after: int = 0) -> None:
        """Shows a `phase` in batches of `batch_size`, which `images_after` of later phases follow.

        Args:
            phase: `dense` or `finetune`.
            batch_size: Images of a batch over all processes.
            images_after: Training images of the phases that follow, over all their epochs.
        """
        self._phase = phase
        self._batches_after = images_after / batch_size
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            console=get_console(),
            auto_refresh=False,
            transient=True,
        )
        self._task = self._progress.add_task("", left="", total=None)
        self._start = self._shown = 0.0
        self._batches = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begins to count the time; a training that continues within an epoch starts none."""
        self._start = time.perf_counter()
        self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Shows the epoch, as its line will name it."""
        self._progress.reset(
            self._task,
            total=int(trainer.num_training_batches),
            description=f"{self._phase} epoch {trainer.current_epoch + 1}/{trainer.max_epochs}",
        )
        self._progress.start()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Shows the batch, at most ten times a second."""
        self._batches += 1
        in_epoch, now = int(trainer.num_training_batches), time.perf_counter()
        if now - self._shown < _SHOWN_EVERY and batch_idx + 1 < in_epoch:
            return
        self._shown, left = now, ""
        if self._batches >= _FIRST_BATCHES:
            assert trainer.max_epochs is not None
            batches = (trainer.max_epochs - trainer.current_epoch) * in_epoch - batch_idx - 1
            seconds = (now - self._start) / self._batches
            left = f"{about(seconds * (batches + self._batches_after))} left"
        self._progress.update(self._task, completed=batch_idx + 1, left=left, refresh=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Takes the bar away."""
        self._progress.stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Takes the bar away."""
        self._progress.stop()
