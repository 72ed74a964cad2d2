"""Selects the lowest-scored weights: exact counts, ties by index, linear time, little memory."""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce

import torch
from torch import Tensor

from lightprune.pruning.scopes import TensorBudget

# 1 MiB of keys: every temporary of a chunk stays in a core's cache.
_CHUNK = 1 << 18
_LAST = 0x7FFFFFFF


def k_smallest(
    scores: Mapping[str, Tensor], among: Mapping[str, Tensor], count: int
) -> dict[str, Tensor]:
    """Marks the `count` lowest scores.

    A radix selection on the bit patterns (two histograms of 16 bits each): its time is linear,
    its extra memory one bool a weight and a few chunks, and its result is the same on every
    device.

    Args:
        scores: float32 scores by parameter name, none NaN.
        among: bool tensors of the same names and shapes: the weights to select from.
        count: At most the number of True entries in `among`.

    Returns:
        Contiguous bool tensors, True = selected. Among equal scores the earlier names, and then
        the lower row-major indices, are selected first.
    """
    return dict(_smallest(scores, among, count))


def _smallest(
    scores: Mapping[str, Tensor], among: Mapping[str, Tensor], count: int
) -> Iterator[tuple[str, Tensor]]:
    """Yields what `k_smallest` returns; a mask in `among` may change once its name has come."""
    if count <= 0:
        for name, mask in among.items():
            yield name, torch.zeros_like(mask, memory_format=torch.contiguous_format)
        return
    threshold, ties = _kth(scores, among, count)
    for name, mask in among.items():
        marks = torch.empty(mask.shape, dtype=torch.bool, device=mask.device)
        parts = torch.split(marks.view(-1), _CHUNK)
        for part, keys in zip(parts, _keys(scores[name], mask), strict=True):
            torch.lt(keys, threshold, out=part)
            if ties:
                tied = (keys == threshold).nonzero()[:ties, 0]
                part[tied] = True
                ties -= len(tied)
        yield name, marks


def prune_group(
    kept: Mapping[str, Tensor],
    scores: Mapping[str, Tensor],
    classes: Sequence[Mapping[str, Tensor]],
    budgets: Sequence[TensorBudget],
    zeros: int,
) -> dict[str, Tensor]:
    """Prunes the lowest-scored weights of tensors that are ranked together.

    First each tensor is pruned to its maximum, by its own lowest scores; then the lowest of the
    group, where a tensor at its minimum loses nothing more.

    Args:
        kept: Which weights are kept, bool by name; may hold more tensors than the group.
        scores: float32 by name, none NaN.
        classes: Which weights may be pruned, bool by name: all of an earlier class before any of
            a later one.
        budgets: The tensors of the group.
        zeros: How many zeros the group gets; fewer where classes and minima do not allow them.

    Returns:
        New masks of these tensors, in the layouts of `kept`.
    """
    scores = {budget.name: scores[budget.name] for budget in budgets}
    remaining = {budget.name: kept[budget.name].clone() for budget in budgets}
    counts = {name: int(mask.count_nonzero()) for name, mask in remaining.items()}
    drop = zeros - sum(budget.size - counts[budget.name] for budget in budgets)
    for bounds in (
        {budget.name: budget.size - budget.min_zeros for budget in budgets},
        {budget.name: budget.size - budget.max_zeros for budget in budgets},
    ):
        for members in classes:
            room = {name: counts[name] - bounds[name] for name in remaining}
            if drop <= 0 or max(room.values()) <= 0:
                continue
            among = {
                name: mask if members[name] is kept[name] else members[name] & mask
                for name, mask in remaining.items()
            }
            among, available = cap_per_layer(scores, among, room)
            for name, lowest in _smallest(scores, among, min(drop, available)):
                remaining[name].logical_and_(lowest.logical_not())
                counts[name] -= int(lowest.count_nonzero())
            drop -= min(drop, available)
    return remaining


def cap_per_layer(
    scores: Mapping[str, Tensor], among: Mapping[str, Tensor], room: Mapping[str, int]
) -> tuple[dict[str, Tensor], int]:
    """Limits each tensor of `among` to its `room[name]` lowest scores.

    Returns:
        The limited bool tensors, and how many weights they hold in sum.
    """
    limited, total = {}, 0
    for name, mask in among.items():
        count = int(mask.count_nonzero())
        limit = max(min(count, room[name]), 0)
        one = {name: scores[name]}
        limited[name] = mask if limit == count else k_smallest(one, {name: mask}, limit)[name]
        total += limit
    return limited, total


def _keys(scores: Tensor, mask: Tensor) -> Iterator[Tensor]:
    """Yields int32 keys, in row-major order, that sort as the scores do.

    -0.0 and 0.0 share a key; what is masked out sorts after everything.
    """
    parts = torch.split(scores.flatten(), _CHUNK)
    for part, inside in zip(parts, torch.split(mask.flatten(), _CHUNK), strict=True):
        bits = (part + 0.0).view(torch.int32)
        bits ^= (bits >> 31) & _LAST
        yield bits.masked_fill_(~inside, _LAST)


def _kth(scores: Mapping[str, Tensor], among: Mapping[str, Tensor], count: int) -> tuple[int, int]:
    """The key of the `count`-th lowest score, and how many entries equal to it are selected."""

    def parts() -> Iterator[Tensor]:
        return (keys for name, mask in among.items() for keys in _keys(scores[name], mask))

    bucket, count = _bucket(((keys >> 16) + (1 << 15) for keys in parts()), count)
    high = bucket - (1 << 15)
    low, count = _bucket((keys[(keys >> 16) == high] & 0xFFFF for keys in parts()), count)
    return (high << 16) | low, count


def _bucket(digits: Iterator[Tensor], count: int) -> tuple[int, int]:
    """The digit of 16 bits that the `count`-th entry has, and its rank (from 1) among those."""
    histograms = (torch.bincount(part, minlength=1 << 16) for part in digits)
    ends = reduce(Tensor.add_, histograms).cumsum(0)
    bucket = int(torch.searchsorted(ends, count))
    return bucket, count - (int(ends[bucket - 1]) if bucket else 0)
