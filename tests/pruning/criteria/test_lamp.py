import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightprune.pruning.criteria import Criterion, Inverted, Lamp, Magnitude, Random
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from tests.pruning.probe import scores_of
from tests.pruning.strategies import (
    ANYTHING,
    FINITE,
    SHAPES,
    sparsities,
    tensors,
    weight_dicts,
)

ANY_TENSOR = SHAPES.flatmap(
    lambda shape: tensors(shape, ANYTHING, (torch.float32, torch.bfloat16, torch.float16))
)
ORDINARY = st.one_of(st.sampled_from([0.0, 1.0, -1.0, 0.5, 3.0]), st.floats(-50, 50, width=16))


def by_definition(weight):
    """For each weight the sum over all that outlive it, one by one, in float64."""
    values = weight.double().abs().flatten().tolist()
    scores = []
    for position, size in enumerate(values):
        left = sum(other**2 for at, other in enumerate(values) if (other, at) >= (size, position))
        scores.append(size**2 / left if left else 0.0)
    return torch.tensor(scores, dtype=torch.float64).view(weight.shape)


def test_four_scores_by_hand():
    scores = scores_of(Lamp(), torch.tensor([[2.0, -1.0], [0.0, 4.0]]))

    torch.testing.assert_close(scores, torch.tensor([[4 / 20, 1 / 21], [0.0, 1.0]]))
    assert scores[1, 1] == 1


def test_of_equal_weights_the_earlier_goes_first_and_so_scores_less():
    scores = scores_of(Lamp(), torch.tensor([1.0, -1.0, 1.0, 1.0]))

    torch.testing.assert_close(scores, torch.tensor([1 / 4, 1 / 3, 1 / 2, 1.0]))


def test_a_layer_of_large_weights_is_not_spared_as_magnitude_spares_it():
    weights = {"a": torch.tensor([9.0, 10.0, 11.0]), "b": torch.tensor([0.1, 0.2, 0.9])}

    masks = Pruner(Lamp()).prune(weights, Masks.dense(weights), 0.5)

    # By hand: a 81/302, 100/221, 1; b .01/.86, .04/.85, 1.
    assert masks["a"].tolist() == [False, True, True]
    assert masks["b"].tolist() == [False, False, True]
    assert not Pruner().prune(weights, Masks.dense(weights), 0.5)["b"].any()


@given(SHAPES.flatmap(lambda shape: tensors(shape, ORDINARY)))
def test_scores_agree_with_the_definition_in_float64(weight):
    scores = scores_of(Lamp(), weight).double()

    torch.testing.assert_close(scores, by_definition(weight), rtol=1e-7, atol=1e-45)


@given(ANY_TENSOR)
def test_scores_are_float32_shares_of_the_same_shape_and_layout(weight):
    before = weight.clone()

    scores = scores_of(Lamp(), weight)

    assert (scores.dtype, scores.shape) == (torch.float32, weight.shape)
    assert scores.stride() == weight.stride() or not weight.numel()
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (scores == 1).any() == (weight != 0).any()
    assert torch.equal(weight.nan_to_num(nan=7.0), before.nan_to_num(nan=7.0))


@given(SHAPES.flatmap(lambda shape: tensors(shape, FINITE)), st.floats(0.0078125, 128, width=16))
def test_the_scale_of_a_layer_does_not_matter(weight, factor):
    weight = torch.where(weight.abs() > 1e-15, weight, 0).clamp(-1e30, 1e30)
    scores = scores_of(Lamp(), weight)

    torch.testing.assert_close(scores_of(Lamp(), weight * factor), scores, rtol=2e-6, atol=0)


@given(st.integers(0, 9999), sparsities())
def test_one_layer_is_pruned_as_by_magnitude(seed, sparsity):
    weights = {"a": torch.randn(40, generator=torch.Generator().manual_seed(seed))}

    masks = Pruner(Lamp()).prune(weights, Masks.dense(weights), sparsity)

    assert masks.digest() == Pruner().prune(weights, Masks.dense(weights), sparsity).digest()


@given(weight_dicts(elements=st.floats(0.125, 8, width=16)))
def test_no_layer_is_emptied_while_another_has_a_weight_to_lose(weights):
    weights = {name: weight for name, weight in weights.items() if weight.numel()}
    if not weights:
        return
    dense = Masks.dense(weights)
    most = 1 - len(weights) / dense.total

    masks = Pruner(Lamp()).prune(weights, dense, most)

    assert masks.pruned == dense.total - len(weights)
    assert masks.emptied() == ()


def test_what_is_pruned_changes_no_score_of_the_others():
    weight = torch.randn(60)
    alive = weight.abs() > 0.5

    scores = scores_of(Lamp(), weight * alive)

    torch.testing.assert_close(scores[alive], scores_of(Lamp(), weight[alive]))
    assert not scores[~alive].any()


def test_a_large_layer_agrees_with_more_precise_numbers():
    weight = torch.randn(256, 128, 3, 3)

    scores = scores_of(Lamp(), weight.contiguous(memory_format=torch.channels_last))

    values = weight.numpy().reshape(-1).astype(np.longdouble) ** 2
    order = values.argsort(kind="stable")
    left = values[order][::-1].cumsum()[::-1]
    expected = torch.empty(weight.numel(), dtype=torch.float64)
    expected[torch.from_numpy(order)] = torch.from_numpy((values[order] / left).astype(float))
    torch.testing.assert_close(scores.double().flatten(), expected, rtol=1e-7, atol=0)


@pytest.mark.parametrize("criterion", [Lamp(), Magnitude(), Random()])
def test_what_asks_for_nothing_but_weights_can_be_inverted(criterion):
    weight = torch.tensor([2.0, -1.0, 0.0, 4.0])

    assert isinstance(criterion, Criterion)
    expected = -scores_of(criterion, weight)
    assert torch.equal(scores_of(Inverted(criterion), weight), expected)
