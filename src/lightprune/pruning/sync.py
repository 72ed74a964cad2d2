"""What holds over all processes at a prune event: the same weights before, the same masks after."""

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor

from lightprune.distributed import from_rank_zero
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.masks import Masks


def check_same_weights(weights: Mapping[str, Tensor]) -> None:
    """Raises PruningError on every rank if a weight differs, in any bit, between ranks."""
    if not torch.distributed.is_initialized():
        return
    by_rank: list[dict[str, str]] = [{}] * torch.distributed.get_world_size()
    digests = {name: _digest(weight) for name, weight in weights.items()}
    torch.distributed.all_gather_object(by_rank, digests)
    first = by_rank[0]
    for rank, other in enumerate(by_rank):
        differing = [name for name in {**first, **other} if first.get(name) != other.get(name)]
        if differing:
            raise PruningError(
                f"{differing[0]} of rank {rank} is not that of rank 0 "
                f"({len(differing)} of {len(first)} prunable weights differ): the ranks have "
                "drifted apart; allowed is training that changes the weights alike on every rank"
            )


def broadcast_masks(masks: Masks, weights: Mapping[str, Tensor]) -> Masks:
    """Rank 0's masks, on every rank."""
    if not torch.distributed.is_initialized():
        return masks
    return Masks.unpack(from_rank_zero(masks.pack), weights)


def _digest(weight: Tensor) -> str:
    """A SHA-256 of a tensor's bits, in row-major order whatever the memory layout."""
    elements = weight.detach().cpu().contiguous().reshape(-1)
    return hashlib.sha256(elements.view(torch.uint8).numpy().tobytes()).hexdigest()
