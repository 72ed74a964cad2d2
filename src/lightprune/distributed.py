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
    """Rank 0's decision, on every rank; the others do not look for themselves."""
    answer: list[Any] = [decide() if is_rank_zero() else None]
    if torch.distributed.is_initialized():
        torch.distributed.broadcast_object_list(answer, 0)
    decision: T = answer[0]
    return decision


def all_reduce_mean_(value: Tensor) -> None:
    """Puts the mean of all processes' values in the place of each."""
    if torch.distributed.is_initialized():
        all_reduce_sum_(value).div_(torch.distributed.get_world_size())


def gather_in_order(batches: list[Tensor]) -> Tensor:
    """What all processes found for their shares of some batches, in the order of the whole."""
    mine = [batch.cpu() for batch in batches]
    shares = [mine]
    if torch.distributed.is_initialized():
        shares = [[] for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather_object(shares, mine)
    return torch.cat([share[number] for number in range(len(mine)) for share in shares])


def all_reduce_sum_(value: Tensor) -> Tensor:
    """The sum of all processes' values, on every one."""
    if torch.distributed.is_initialized():
        torch.distributed.all_reduce(value)
    return value
