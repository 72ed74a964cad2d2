"""Callbacks that monitor a metric (EarlyStopping, ModelCheckpoint), held until the last event."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor

MONITORS = (EarlyStopping, ModelCheckpoint)
# Beyond any metric: what a network of another sparsity is worth.
_WORST = 1e38


@dataclass(frozen=True)
class _AtFinalSparsity:
    """A method of EarlyStopping that does nothing before the trainer's last event."""

    monitor: str
    method: Callable[..., Any]

    def __call__(self, trainer: Trainer, *arguments: Any) -> Any:
        return self.method(trainer, *arguments) if _is_final(trainer, self.monitor) else None


@dataclass
class _NewestUntilFinal:
    """Until the last event the newest network is the best that a ModelCheckpoint has saved.

    It is worse than any after that event, whose file then takes its place.
    """

    callback: ModelCheckpoint
    check: Callable[..., bool]
    state: Callable[[], dict[str, Any]]
    early_score: Tensor | None = None  # Of the newest file, until the callback has it.

    def check_monitor_top_k(self, trainer: Trainer, current: Tensor | None = None) -> bool:
        self._rescore()
        early = current is not None and not _is_final(trainer, str(self.callback.monitor))
        if early:
            worst = _WORST / (1 + trainer.global_step)
            current = torch.tensor(worst if self.callback.mode == "min" else -worst)
        saves = self.check(trainer, current)
        self.early_score = current if early and saves else None
        return saves

    def state_dict(self) -> dict[str, Any]:
        self._rescore()
        return self.state()

    def _rescore(self) -> None:
        # The callback scores a file by the metric, for whatever reason it is saved.
        if self.early_score is None:
            return
        best, models = self.callback, self.callback.best_k_models
        models[list(models)[-1]], self.early_score = self.early_score, None
        ranking = sorted(models, key=models.__getitem__, reverse=best.mode == "max")
        best.best_model_path, best.kth_best_model_path = ranking[0], ranking[-1]
        best.best_model_score, best.kth_value = models[ranking[0]], models[ranking[-1]]


def monitor_at_final_sparsity(callbacks: Iterable[Callback]) -> None:
    """Lets EarlyStopping and ModelCheckpoint rank by a metric from the last prune event on.

    Of an earlier, denser network the metric is better, and it is no result: until then
    EarlyStopping waits, and ModelCheckpoint keeps the newest. The callbacks are changed in
    place; without a callback that prunes they work as ever.
    """
    for callback in callbacks:
        if getattr(callback, "monitor", None) is None:
            continue
        if isinstance(callback, EarlyStopping) and "on_validation_end" not in vars(callback):
            for name in ("on_validation_end", "on_train_epoch_end"):
                method = getattr(callback, name)
                setattr(callback, name, _AtFinalSparsity(callback.monitor, method))
        elif isinstance(callback, ModelCheckpoint) and "state_dict" not in vars(callback):
            newest = _NewestUntilFinal(callback, callback.check_monitor_top_k, callback.state_dict)
            for name in ("check_monitor_top_k", "state_dict"):
                setattr(callback, name, getattr(newest, name))


def _is_final(trainer: Trainer, monitor: str) -> bool:
    """Whether a metric is one of the network at its final sparsity.

    Within an epoch, the metrics of the last validation are still there after an event.
    """
    metric = trainer.callback_metrics.get(monitor)
    return all(
        getattr(callback, "is_final", True)
        and (metric is None or getattr(callback, "earlier_metrics", {}).get(monitor) is not metric)
        for callback in trainer.callbacks  # type: ignore[attr-defined]
    )
