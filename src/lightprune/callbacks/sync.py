"""Broadcasts rank 0's masks and buffers to all ranks."""

import torch
from lightning import Trainer
from torch import nn

from lightprune.pruning.event_record import PruningError
from lightprune.pruning.masks import Masks


def broadcast_masks(trainer: Trainer, masks: Masks, weights: dict[str, nn.Parameter]) -> Masks:
    """Rank 0's masks, on every rank.

    Raises:
        PruningError: The ranks' digests differ.
    """
    if trainer.world_size == 1:
        return masks
    masks = Masks.unpack(trainer.strategy.broadcast(masks.pack()), weights)
    digests: list[str] = [""] * trainer.world_size
    torch.distributed.all_gather_object(digests, masks.digest())
    if len(set(digests)) > 1:
        raise PruningError(f"ranks hold different masks: {', '.join(d[:12] for d in digests)}")
    return masks


def broadcast_buffers(trainer: Trainer, network: nn.Module) -> None:
    """Copies rank 0's buffers (batch-norm statistics) to every rank, in place."""
    if trainer.world_size > 1:
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, 0)
