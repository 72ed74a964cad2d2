"""The masks of a global ranking by sorting every weight in float64."""

import math
from fractions import Fraction

import numpy as np
import torch

from lightprune.pruning.masks import Masks


def dense(weights):
    return Masks.dense(weights)


def total_of(weights):
    return sum(weight.numel() for weight in weights.values())


def brute_force(weights, zeros, *, masks=None, floor=0.0, live=None):
    """Sorts every weight by (live, |w| in float64, position) and takes what the floors allow."""
    masks = masks or dense(weights)
    kept = {name: masks[name].flatten().numpy().copy() for name in weights}
    entries = []
    for name, weight in weights.items():
        size = np.nan_to_num(weight.double().abs().flatten().numpy(), nan=np.inf, posinf=np.inf)
        reached = live[name].flatten().tolist() if live else [True] * len(size)
        entries += [(reached[i], size[i], name, i) for i in range(len(size)) if kept[name][i]]
    entries.sort(key=lambda entry: entry[:2])
    room = {n: k.sum() - math.ceil(Fraction(floor) * k.size) for n, k in kept.items()}
    zeros -= sum(k.size - k.sum() for k in kept.values())
    for _, _, name, place in entries:
        if zeros > 0 and room[name] > 0:
            kept[name][place] = False
            room[name] -= 1
            zeros -= 1
    return Masks({n: torch.from_numpy(k).reshape(weights[n].shape) for n, k in kept.items()})
