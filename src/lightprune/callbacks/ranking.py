"""Callbacks that rank a training by a metric do so once it is at its final sparsity."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

RANKING = (EarlyStopping, ModelCheckpoint)
_METHODS = {
    EarlyStopping: ("on_validation_end", "on_train_epoch_end"),
    ModelCheckpoint: ("check_monitor_top_k",),
}


@dataclass(frozen=True)
class _AtFinalSparsity:
    """A method that takes a trainer first, and does nothing before the trainer's last event."""

    method: Callable[..., Any]

    def __call__(self, trainer: Trainer, *arguments: Any, **keywords: Any) -> Any:
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        if all(getattr(callback, "is_final", True) for callback in callbacks):
            return self.method(trainer, *arguments, **keywords)
        return False


def rank_at_final_sparsity(callbacks: Iterable[Callback]) -> None:
    """Lets EarlyStopping and ModelCheckpoint, if they rank by a metric, see none before the end.

    Of an earlier, denser network the metric is better, and it is no result. The callbacks are
    changed in place; without a callback that prunes they work as ever.
    """
    for callback in callbacks:
        for kind, names in _METHODS.items():
            if not isinstance(callback, kind) or getattr(callback, "monitor", None) is None:
                continue
            for name in names:
                method = getattr(callback, name)
                if not isinstance(method, _AtFinalSparsity):
                    setattr(callback, name, _AtFinalSparsity(method))
