import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightprune.errors import InputError
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.scopes import SCOPES
from tests.pruning.strategies import sparsities, weight_dicts

SHAPES = st.one_of(
    st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
)
SIXTEENTHS = st.integers(0, 15).map(lambda k: k / 16)


def of_shapes(*shapes, seed=0):
    """Distinct weights, layer by layer."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [math.prod(shape) for shape in shapes]
    values = torch.randperm(sum(sizes), generator=generator).float() + 1
    parts = zip(shapes, values.split(sizes), strict=True)
    return {f"layer{i}.weight": part.reshape(shape) for i, (shape, part) in enumerate(parts)}


def zeros_of(pruner, weights, sparsity):
    return [zeros for _, zeros in pruner.zero_counts(weights, sparsity)]


def test_kernels_by_hand():
    weights = of_shapes((4, 2, 3, 3), (8, 8, 1, 1))

    # Extents of 12 and 18: of 68 kept weights 27.2 and 40.8.
    assert zeros_of(Pruner(scope="erk"), weights, 0.5) == [45, 23]
    # Of 108.8 the second would keep 65.28, but has 64; 44.8 are left for the first.
    assert zeros_of(Pruner(scope="erk"), weights, 0.2) == [27, 0]


def test_a_linear_layer_counts_its_two_extents():
    weights = of_shapes((10, 30), (5, 5, 2, 3))

    # Extents of 40 and 15: of 90 kept weights 65.45 and 24.55.
    assert zeros_of(Pruner(scope="erk"), weights, 0.8) == [300 - 65, 150 - 25]


def erdos_renyi_kernel(shapes, sparsity):
    """Kept weights in float64: who exceeds 1 is dense, and the rest is solved again."""
    raw = np.array([sum(shape) / math.prod(shape) for shape in shapes], dtype=np.float64)
    sizes = np.array([math.prod(shape) for shape in shapes], dtype=np.float64)
    dense = np.zeros(len(shapes), dtype=bool)
    while not dense.all():
        budget = (1 - sparsity) * sizes.sum() - sizes[dense].sum()
        scale = budget / (raw * sizes)[~dense].sum()
        over = ~dense & (scale * raw > 1)
        if not over.any():
            break
        dense |= over
    return np.where(dense, sizes, sizes * np.minimum(scale * raw, 1))


@given(st.lists(SHAPES, min_size=1, max_size=8), sparsities())
def test_kernels_agree_with_solving_again_and_again_and_sum_up_to_the_weight(shapes, sparsity):
    weights = of_shapes(*shapes)

    zeros = zeros_of(Pruner(scope="erk"), weights, sparsity)

    sizes = [math.prod(shape) for shape in shapes]
    assert sum(zeros) == round(sparsity * sum(sizes))
    kept = np.array(sizes) - np.array(zeros)
    assert np.abs(kept - erdos_renyi_kernel(shapes, sparsity)).max() < 1


def test_uniform_plus_by_hand():
    weights = of_shapes((4, 3, 1, 1), (10, 10, 1, 1), (10, 4))
    pruner = Pruner(scope="uniform_plus")

    # The stem's 12 weights stay: 76 zeros among 140 weights are 54.3 of 100 and 21.7 of 40.
    assert zeros_of(pruner, weights, 0.5) == [0, 54, 22]
    # The last tensor keeps 8 of 40: 122 zeros are 32 of it and 90 of the other.
    assert zeros_of(pruner, weights, 0.8) == [0, 90, 32]


def test_uniform_plus_without_a_convolution_protects_the_last_tensor_alone():
    weights = of_shapes((10, 10), (10, 10))

    assert zeros_of(Pruner(scope="uniform_plus"), weights, 0.85) == [90, 80]


def test_uniform_plus_protects_no_last_convolution():
    weights = of_shapes((4, 3, 1, 1), (10, 10, 1, 1), (10, 4, 1, 1))

    # The stem's 12 weights stay: 128 zeros leave 10 of 100 and 2 of 40, not a fifth of these.
    assert zeros_of(Pruner(scope="uniform_plus"), weights, 0.9)[0] == 0
    assert zeros_of(Pruner(scope="uniform_plus"), weights, 0.9)[2] > 32


def test_uniform_plus_that_leaves_no_room_is_refused_by_name():
    weights = of_shapes((4, 3, 1, 1), (10, 10, 1, 1), (10, 4))

    with pytest.raises(InputError, match=r"pruner\.scope=uniform_plus: keeps 20 of .*of which 150"):
        Pruner(scope="uniform_plus").zero_counts(weights, 0.99)


@pytest.mark.parametrize("scope", SCOPES)
def test_a_sparsity_by_name_goes_before_every_scope(scope):
    weights = of_shapes((4, 3, 1, 1), (10, 10, 1, 1), (10, 4))
    pruner = Pruner(scope=scope, sparsities=[("layer0", 0.5), ("layer2", 0.9)])

    assert sorted(pruner.zero_counts(weights, 0.7)) == [
        (("layer0.weight",), 6),
        (("layer1.weight",), 70),
        (("layer2.weight",), 36),
    ]


def bounds_of(scope, shapes, floor, cap):
    """How many weights each tensor keeps at least and at most."""
    convolutions = [i for i, shape in enumerate(shapes) if len(shape) > 2]
    bounds = []
    for i, shape in enumerate(shapes):
        size, share = math.prod(shape), floor
        if scope == "uniform_plus" and i == len(shapes) - 1 and len(shape) == 2:
            share = max(share, min(0.2, cap))
        if scope == "uniform_plus" and convolutions[:1] == [i]:
            share = cap
        low, high = math.ceil(floor * size), math.floor(cap * size)
        low = max(low, min(math.ceil(share * size), high))
        bounds.append((low, max(low, high)))
    return bounds


CASES = st.tuples(st.sampled_from(list(SCOPES)), st.lists(SHAPES, min_size=1, max_size=6))


@given(CASES, SIXTEENTHS, SIXTEENTHS, sparsities())
def test_one_event_is_exact_within_floors_and_caps_or_refused(case, floor, width, sparsity):
    scope, shapes = case
    cap = min(1.0, floor + width) or 1 / 16
    weights = of_shapes(*shapes)
    pruner, dense = Pruner(scope=scope, floor=floor, cap=cap), Masks.dense(weights)
    bounds, kept = bounds_of(scope, shapes, floor, cap), dense.total - round(sparsity * dense.total)

    if not sum(low for low, _ in bounds) <= kept <= sum(high for _, high in bounds):
        with pytest.raises(InputError, match=r"pruner\.(floor|cap|scope)=.*; allowed is a "):
            pruner.prune(weights, dense, sparsity)
        return
    masks = pruner.prune(weights, dense, sparsity)

    assert masks.kept == kept
    for mask, (low, high) in zip(masks.values(), bounds, strict=True):
        assert low <= int(mask.sum()) <= high


@given(CASES, SIXTEENTHS, SIXTEENTHS, st.lists(st.floats(0, 1), max_size=3), st.data())
def test_events_are_exact_and_monotone_and_end_within_floors_and_caps(
    case, floor, width, shares, data
):
    scope, shapes = case
    cap = min(1.0, floor + width) or 1 / 16
    weights = of_shapes(*shapes)
    pruner, masks = Pruner(scope=scope, floor=floor, cap=cap), Masks.dense(weights)
    bounds = bounds_of(scope, shapes, floor, cap)
    kept = data.draw(st.integers(*(sum(bound) for bound in zip(*bounds, strict=True))))
    final = 1 - kept / masks.total
    for i, share in enumerate([*sorted(shares), 1.0]):
        sparsity = share * final
        weights = of_shapes(*shapes, seed=i)
        after = pruner.prune(weights, masks, sparsity, final=final)

        assert after.pruned == round(sparsity * masks.total)
        assert all(not (after[name] & ~masks[name]).any() for name in weights)
        masks = after
    for mask, (low, high) in zip(masks.values(), bounds, strict=True):
        # Earlier events round: a tensor that they left short of its cap is made up by others.
        assert low <= int(mask.sum()) <= high + len(shapes)


@given(weight_dicts(), SIXTEENTHS, SIXTEENTHS, st.data())
def test_global_masks_with_floors_and_caps_agree_with_a_sort(weights, floor, width, data):
    cap = min(1.0, floor + width) or 1 / 16
    kept = {n: np.ones(w.numel(), dtype=bool) for n, w in weights.items()}
    bounds = {n: bounds_of("global", [tuple(w.shape)], floor, cap)[0] for n, w in weights.items()}
    dense = Masks.dense(weights)
    left = data.draw(st.integers(*(sum(bound) for bound in zip(*bounds.values(), strict=True))))
    sparsity = 1 - left / dense.total if dense.total else 0.0

    masks = Pruner(floor=floor, cap=cap).prune(weights, dense, sparsity)

    order = [
        (abs(float(x)), place, name, i)
        for place, (name, w) in enumerate(weights.items())
        for i, x in enumerate(w.double().flatten())
    ]
    for bound in (1, 0):
        for _, _, name, i in sorted(order):
            above = kept[name].sum() > bounds[name][bound]
            short = bound or sum(k.sum() for k in kept.values()) > left
            if above and short and kept[name][i]:
                kept[name][i] = False
    assert all(masks[n].flatten().tolist() == kept[n].tolist() for n in weights)


def test_a_cap_takes_its_excess_from_its_own_tensor():
    weights = {"large": torch.arange(10.0) + 100, "small": torch.arange(10.0)}

    masks = Pruner(cap=0.6).prune(weights, Masks.dense(weights), 0.5)

    assert masks["large"].tolist() == [False] * 4 + [True] * 6
    assert masks["small"].tolist() == [False] * 6 + [True] * 4


def test_an_early_event_comes_as_near_to_the_cap_as_its_sparsity_lets_it():
    weights = {"large": torch.arange(10.0) + 100, "small": torch.arange(10.0)}

    masks = Pruner(cap=0.5).prune(weights, Masks.dense(weights), 0.2, final=0.8)

    assert [int(mask.sum()) for mask in masks.values()] == [8, 8]


def test_a_cap_below_the_kept_share_is_refused_by_name():
    weights = of_shapes((10, 10))

    with pytest.raises(
        InputError, match=r"pruner\.cap=0\.4: keeps at most 40 of .*which 50 are to"
    ):
        Pruner(cap=0.4).zero_counts(weights, 0.5)


def test_a_sparsity_by_name_goes_before_a_cap():
    weights = of_shapes((10, 10), (10, 10))
    pruner = Pruner(cap=0.5, sparsities=[("layer0", 0.0)])

    assert pruner.zero_counts(weights, 0.6) == [(("layer0.weight",), 0), (("layer1.weight",), 60)]
