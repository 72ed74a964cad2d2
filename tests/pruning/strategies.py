"""Hypothesis strategies for the pruning core: weights, masks, sparsities, schedules."""

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lightprune.pruning.masks import Masks
from lightprune.pruning.schedules import (
    Cosine,
    Cubic,
    Geometric,
    Linear,
    MultiStep,
    OneShot,
)

NAMES = ("stem.weight", "layer1.weight", "layer2.weight", "head.weight", "extra.weight")

SHAPES = st.one_of(
    hnp.array_shapes(min_dims=4, max_dims=4, min_side=1, max_side=4),
    hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=9),
    st.just(()),
)

# Few distinct values give many ties; signs, both zeros and subnormals are among them.
COMMON = st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 3.0, 1e-40, -1e-45])
FINITE = st.one_of(COMMON, st.floats(width=32, allow_nan=False, allow_infinity=False))
ANYTHING = st.one_of(COMMON, st.floats(width=32))
SCOPES = st.sampled_from(["global", "local", "erk"])
# Sixteenths are exact in binary, so that floor * size is too.
FLOORS = st.integers(0, 15).map(lambda k: k / 16)


def sparsities(below_one=True):
    """Shares of zeros, the usual and the odd ones."""
    usual = st.sampled_from([0.0, 0.3, 0.5, 0.9, 0.98])
    return st.one_of(usual, st.floats(0, 1, exclude_max=below_one))


@st.composite
def tensors(draw, shape, elements=FINITE, dtypes=(torch.float32,)):
    """A tensor in a drawn memory layout; reduced precisions may round values to infinity."""
    values = torch.from_numpy(draw(hnp.arrays(np.float32, shape, elements=elements)).copy())
    values = values.to(draw(st.sampled_from(dtypes)))
    if values.dim() == 4 and draw(st.booleans()):
        values = values.contiguous(memory_format=torch.channels_last)
    return values


@st.composite
def weight_dicts(draw, elements=FINITE, dtypes=(torch.float32,)):
    """One to five tensors by name, in any order of names."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    return {name: draw(tensors(draw(SHAPES), elements, dtypes)) for name in names}


@st.composite
def flags_for(draw, weights):
    """A bool tensor for each of `weights`."""
    return {
        name: torch.from_numpy(draw(hnp.arrays(np.bool_, tuple(weight.shape))).copy())
        for name, weight in weights.items()
    }


@st.composite
def masked_weights(draw, elements=FINITE, dtypes=(torch.float32,)):
    """Weights and arbitrary masks for them."""
    weights = draw(weight_dicts(elements, dtypes))
    return weights, Masks(draw(flags_for(weights))).like(weights)


@st.composite
def schedules(draw):
    """A schedule of any kind that fits a budget, and that budget of epochs."""
    epochs = draw(st.integers(1, 120))
    target = {"sparsity": draw(st.floats(0, 1, exclude_max=True))}
    kind = draw(st.sampled_from([OneShot, MultiStep, Linear, Cubic, Geometric, Cosine]))
    if kind is MultiStep:
        target["span"] = draw(st.floats(0, 1, exclude_min=True))
        target["steps"] = draw(st.integers(1, max(1, round(target["span"] * epochs))))
    elif kind is not OneShot:
        target["span"] = draw(st.floats(0, 1, exclude_min=True))
    return kind(**target), epochs
