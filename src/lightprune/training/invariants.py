"""The invariant of a network in training: its outputs depend on its input."""

from torch import Tensor, nn

from lightprune.pruning.eval_mode import eval_mode
from lightprune.pruning.event_record import PruningError


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
