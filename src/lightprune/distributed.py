"""Collectives: who is rank zero, waiting for all, values from rank zero, sums and means."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


def is_rank_zero() -> bool:
    """Whether this is the only process, or rank 0 of several."""
    return not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0


def barrier() -> None:
    """Waits for all processes, if there are several."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()


def from_rank_zero(decide: Callable[[], T]) -> T:
    """Calls `decide` on rank 0 alone and broadcasts its result to every rank."""
    values: list[Any] = [decide() if is_rank_zero() else None]
    if torch.distributed.is_initialized():
        torch.distributed.broadcast_object_list(values, 0)
    decision: T = values[0]
    return decision


def all_reduce_mean_(value: Tensor) -> None:
    """Replaces a tensor by its mean over all processes, in place."""
    if torch.distributed.is_initialized():
        all_reduce_sum_(value).div_(torch.distributed.get_world_size())


def gather_in_order(batches: list[Tensor]) -> Tensor:
    """Joins every rank's shards of the same batches along dimension 0: batch by batch, by rank."""
    shards = [batch.cpu() for batch in batches]
    by_rank = [shards]
    if torch.distributed.is_initialized():
        by_rank = [[] for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather_object(by_rank, shards)
    return torch.cat([rank[number] for number in range(len(shards)) for rank in by_rank])


def all_reduce_sum_(value: Tensor) -> Tensor:
    """Sums a tensor over all processes, in place, and returns it."""
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(value)
    return value
