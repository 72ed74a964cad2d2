"""What holds over all ranks at a prune event: the same weights before it, the same masks after."""

import hashlib
from collections.abc import Mapping

import torch
from lightning import Trainer
from torch import Tensor, nn

from lightprune.pruning.event_record import PruningError
from lightprune.pruning.masks import Masks


def check_same_weights(trainer: Trainer, weights: Mapping[str, Tensor], epoch: int) -> None:
    """Raises PruningError on every rank if a weight differs, in any bit, between ranks."""
    if trainer.world_size == 1:
        return
    by_rank: list[dict[str, str]] = [{}] * trainer.world_size
    digests = {name: _digest(weight) for name, weight in weights.items()}
    torch.distributed.all_gather_object(by_rank, digests)
    first = by_rank[0]
    for rank, other in enumerate(by_rank):
        differing = [name for name in {**first, **other} if first.get(name) != other.get(name)]
        if differing:
            raise PruningError(
                f"epoch {epoch}: {differing[0]} of rank {rank} is not that of rank 0 "
                f"({len(differing)} of {len(first)} prunable weights differ): the ranks have "
                "drifted apart; allowed is training that changes the weights alike on every rank"
            )


def broadcast_masks(trainer: Trainer, masks: Masks, weights: dict[str, nn.Parameter]) -> Masks:
    """Rank 0's masks, on every rank."""
    if trainer.world_size == 1:
        return masks
    return Masks.unpack(trainer.strategy.broadcast(masks.pack()), weights)


def broadcast_buffers(trainer: Trainer, network: nn.Module) -> None:
    """Copies rank 0's buffers (batch-norm statistics) to every rank, in place."""
    if trainer.world_size > 1:
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, 0)


def _digest(weight: Tensor) -> str:
    """A SHA-256 of a tensor's bits, in row-major order whatever the memory layout."""
    elements = weight.detach().cpu().contiguous().reshape(-1)
    return hashlib.sha256(elements.view(torch.uint8).numpy().tobytes()).hexdigest()
