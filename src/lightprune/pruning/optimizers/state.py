"""Prunes optimizer state, which would bring back what pruned weights once were."""

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor
from torch.optim import SGD, Adagrad, Adam, Adamax, AdamW, NAdam, Optimizer, RAdam, RMSprop

from lightprune.pruning.masks import Masks

# By their exact types: a subclass may do anything.
_ELEMENT_WISE = {SGD, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam, RMSprop}


def mask_optimizer(optimizer: Optimizer, weights: Mapping[str, Tensor], masks: Masks) -> None:
    """Zeroes the entries of pruned weights in all optimizer state of the weights' shape."""
    for name, weight in weights.items():
        for entry in _entries_of(optimizer, weight):
            masks.apply_({name: entry})


def moves_pruned(optimizer: Optimizer, weights: Mapping[str, Tensor], masks: Masks) -> bool:
    """Whether steps may move pruned weights that are zero and have no gradient.

    To be called right after a step of such weights. They stay where they are if it left them, the
    optimizer treats every entry by itself, and its state of pruned weights is zero: weight decay
    and averages of zeros are zeros. Where an `eps` is none, in half precision or by the user's
    setting, Adam and its likes divide 0 by 0, and the step leaves NaN.
    """
    if type(optimizer) not in _ELEMENT_WISE:
        return True
    return any(
        entry[~masks[name].to(entry.device)].any()
        for name, weight in weights.items()
        for entry in (weight.detach(), *_entries_of(optimizer, weight))
    )


def has_finite_gradients(optimizer: Optimizer) -> bool:
    """Whether no gradient of an optimizer's parameters is infinite or NaN."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"]]
    values = [g._values() if g.is_sparse else g for g in gradients if g is not None]
    return all(bool(value.isfinite().all()) for value in values)


def _entries_of(optimizer: Optimizer, weight: Tensor) -> Iterator[Tensor]:
    for entry in optimizer.state.get(weight, {}).values():
        if isinstance(entry, Tensor) and entry.shape == weight.shape:
            yield entry


# What an event does to an optimizer, by the name of the policy.
POLICIES: dict[str, Callable[[Optimizer, Mapping[str, Tensor], Masks], None]] = {
    "mask": mask_optimizer,
    "reset": lambda optimizer, weights, masks: optimizer.state.clear(),
    "keep": lambda optimizer, weights, masks: None,
}


def all_but_regrown(before: Masks, after: Masks) -> Masks:
    """True for all weights but the regrown: kept after an event, and pruned before."""
    return Masks({name: before[name] | ~mask for name, mask in after.items()})
