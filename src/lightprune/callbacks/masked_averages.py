"""Keeps pruned weights at zero in the averages (EMA, SWA) of Lightning's callbacks."""

from collections.abc import Iterator, Mapping
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from torch import Tensor

from lightprune.pruning.masks import Masks


def mask_averages(trainer: Trainer, module: LightningModule, masks: Masks, part: str) -> None:
    """Zeroes pruned weights in the averages that Lightning's callbacks keep.

    Later updates of an average are zero too, so this holds until the next event: in validation,
    in checkpoints, at the end of the fit, and in any order of callbacks.
    The average of a weight that comes back starts from zero, as the weight does.

    The masks go by parameter names in the `part` of the module that is pruned: the name of a
    submodule, or "" for the module itself.
    """
    prefix = f"{part}." if part else ""
    for state in _averages(trainer, module):
        average = {name: state[f"{prefix}{name}"] for name in masks}
        masks.like(average).apply_(average)


def _averages(trainer: Trainer, module: LightningModule) -> Iterator[Mapping[str, Tensor]]:
    """Every average as a state dict of the module; its tensors are not copies."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, StochasticWeightAveraging):
            yield callback.state_dict()["average_model_state"]
        elif isinstance(callback, WeightAveraging):
            checkpoint: dict[str, Any] = {"state_dict": {}}
            callback.on_save_checkpoint(trainer, module, checkpoint)
            yield checkpoint["state_dict"]
