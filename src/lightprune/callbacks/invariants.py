"""Invariants of a network in training: pruned weights are zero, outputs depend on the input."""

from collections.abc import Mapping

from torch import Tensor, nn

from lightprune.pruning.eval_mode import eval_mode
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.masks import Masks


def check_zeros(masks: Masks, weights: Mapping[str, Tensor], epoch: int) -> None:
    """Raises PruningError if a pruned weight is not exactly zero."""
    for name, count in masks.violations(weights).items():
        raise PruningError(
            f"epoch {epoch}: {count} pruned weights of {name} are not zero; every optimizer step "
            "ends with them at zero, so a callback, a hook or the network itself changed them since"
        )


def depends_on_input(network: nn.Module, example: Tensor) -> bool:
    """Whether a network's outputs differ for the inputs of `example`, which differ."""
    with eval_mode(network):
        logits = network(example)
    return bool((logits != logits[0]).any())


def check_alive(network: nn.Module, example: Tensor, epoch: int, sparsity: float) -> None:
    """Raises PruningError if the network's output no longer depends on its input."""
    if not depends_on_input(network, example):
        where, pruned = (
            (f" at sparsity {sparsity:.4g}", " or the sparsity") if sparsity else ("", "")
        )
        raise PruningError(
            f"epoch {epoch}{where}: training has collapsed, the network's output no longer depends "
            f"on its input; lower the peak learning rate{pruned}"
        )
