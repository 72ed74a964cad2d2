"""Selects the lowest-scored weights: exact counts, ties by position, linear time, little memory."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

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
        among: bool tensors of the same names and shapes: the weights to choose from.
        count: How many to choose, at most the number of True entries in `among`.

    Returns:
        Contiguous bool tensors, True = chosen. Among equal scores the earlier names, and then
        the earlier positions in row-major order, are chosen first.
    """
    if count <= 0:
        return {
            name: torch.zeros(m.shape, dtype=m.dtype, device=m.device) for name, m in among.items()
        }
    threshold, ties = _kth(scores, among, count)
    chosen = {}
    for name, mask in among.items():
        marks = torch.empty(mask.shape, dtype=torch.bool, device=mask.device)
        parts = torch.split(marks.view(-1), _CHUNK)
        for part, keys in zip(parts, _keys(scores[name], mask), strict=True):
            torch.lt(keys, threshold, out=part)
            if ties:
                tied = (keys == threshold).nonzero()[:ties, 0]
                part[tied] = True
                ties -= len(tied)
        chosen[name] = marks
    return chosen


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
    """The key of the `count`-th lowest score, and how many entries equal to it are chosen."""
    device = next(iter(among.values())).device
    histogram = torch.zeros(1 << 16, dtype=torch.int64, device=device)
    for name, mask in among.items():
        for keys in _keys(scores[name], mask):
            histogram += torch.bincount((keys >> 16) + (1 << 15), minlength=1 << 16)
    bucket, count = _bucket(histogram, count)
    high = bucket - (1 << 15)
    histogram.zero_()
    for name, mask in among.items():
        for keys in _keys(scores[name], mask):
            inside = keys[(keys >> 16) == high]
            histogram += torch.bincount(inside & 0xFFFF, minlength=1 << 16)
    low, count = _bucket(histogram, count)
    return (high << 16) | low, count


def _bucket(histogram: Tensor, count: int) -> tuple[int, int]:
    """The bucket that holds the `count`-th entry, and that entry's rank (from 1) within it."""
    ends = histogram.cumsum(0)
    bucket = int(torch.searchsorted(ends, count))
    return bucket, count - (int(ends[bucket - 1]) if bucket else 0)
