"""Callbacks that rank a training by a metric do so once it is at its final sparsity."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor

RANKING = (EarlyStopping, ModelCheckpoint)
# Beyond any metric: what a network of another sparsity is worth.
_WORST = 1e38


@dataclass(frozen=True)
class _AtFinalSparsity:
    """A method of EarlyStopping that does nothing before the trainer's last event."""

    method: Callable[..., Any]

    def __call__(self, trainer: Trainer, *arguments: Any) -> Any:
        return self.method(trainer, *arguments) if _is_final(trainer) else None


@dataclass(frozen=True)
class _NewestUntilFinal:
    """A method of ModelCheckpoint for which the newest network is the best until the last event.

    It is worse than any after that event, whose file then takes its place.
    """

    method: Callable[..., Any]
    mode: str

    def __call__(self, *arguments: Any) -> Any:
        (trainer,) = (value for value in arguments if isinstance(value, Trainer))
        if not _is_final(trainer):
            score = _WORST / (1 + trainer.global_step)
            worst = torch.tensor(score if self.mode == "min" else -score)
            arguments = tuple(worst if isinstance(v, Tensor) else v for v in arguments)
        return self.method(*arguments)


def rank_at_final_sparsity(callbacks: Iterable[Callback]) -> None:
    """Lets EarlyStopping and ModelCheckpoint rank by a metric from the last prune event on.

    Of an earlier, denser network the metric is better, and it is no result: until then
    EarlyStopping waits, and ModelCheckpoint keeps the newest. The callbacks are changed in
    place; without a callback that prunes they work as ever.
    """
    for callback in callbacks:
        if getattr(callback, "monitor", None) is None:
            continue
        if isinstance(callback, EarlyStopping):
            for name in ("on_validation_end", "on_train_epoch_end"):
                _wrap(callback, name, _AtFinalSparsity)
        elif isinstance(callback, ModelCheckpoint):
            for name in ("check_monitor_top_k", "_update_best_and_save"):
                _wrap(callback, name, partial(_NewestUntilFinal, mode=callback.mode))


def _is_final(trainer: Trainer) -> bool:
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    return all(getattr(callback, "is_final", True) for callback in callbacks)


def _wrap(callback: Callback, name: str, wrapper: Callable[[Callable[..., Any]], Any]) -> None:
    method = getattr(callback, name)
    if not isinstance(method, _AtFinalSparsity | _NewestUntilFinal):
        setattr(callback, name, wrapper(method))
