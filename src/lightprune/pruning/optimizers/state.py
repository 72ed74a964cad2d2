"""Prunes optimizer state, which would bring back what pruned weights once were."""

from collections.abc import Callable, Mapping

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
