"""Prunes optimizer state and weight averages, which would bring pruned weights back."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, WeightAveraging
from torch import Tensor
from torch.optim import Optimizer

from lightprune.pruning.masks import Masks


def mask_optimizer(optimizer: Optimizer, weights: Mapping[str, Tensor], masks: Masks) -> None:
    """Zeroes the entries of pruned weights in all optimizer state of the weights' shape."""
    for name, weight in weights.items():
        for entry in optimizer.state.get(weight, {}).values():
            if isinstance(entry, Tensor) and entry.shape == weight.shape:
                Masks({name: masks[name]}).apply_({name: entry})


# What an event does to an optimizer, by the name of the policy.
POLICIES: dict[str, Callable[[Optimizer, Mapping[str, Tensor], Masks], None]] = {
    "mask": mask_optimizer,
    "reset": lambda optimizer, weights, masks: optimizer.state.clear(),
    "keep": lambda optimizer, weights, masks: None,
}


def all_but_regrown(before: Masks, after: Masks) -> Masks:
    """True for all weights but the regrown: kept after an event, and pruned before."""
    return Masks({name: before[name] | ~mask for name, mask in after.items()})


def mask_averages(trainer: Trainer, module: LightningModule, masks: Masks) -> None:
    """Zeroes pruned weights in the averages that Lightning's callbacks keep.

    Later updates of an average are zero too, so this holds until the next event: in validation,
    in checkpoints, at the end of the fit, and in any order of callbacks.
    The average of a weight that comes back starts from zero, as the weight does.
    """
    prefixes = {name: f"network.{name}" for name in masks}
    for state in _averages(trainer, module):
        average = {name: state[saved] for name, saved in prefixes.items()}
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
