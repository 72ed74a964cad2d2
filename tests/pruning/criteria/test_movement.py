import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightprune.errors import InputError
from lightprune.pruning.criteria import Inverted, Movement, ScoringContext
from lightprune.pruning.masks import Masks
from tests.pruning.probe import PlainProbe
from tests.pruning.strategies import SHAPES, tensors

STEPS = SHAPES.flatmap(
    lambda shape: st.lists(
        st.tuples(*[tensors(shape, st.floats(-8, 8, width=16))] * 2), min_size=1, max_size=4
    )
)


def accumulated(steps):
    state = torch.zeros_like(steps[0][0], dtype=torch.float32)
    for weight, gradient in steps:
        Movement().update_(state, weight, gradient)
    return state


def scores_from(state):
    weights = {"a": torch.zeros_like(state)}
    context = ScoringContext(Masks.dense(weights), probe=PlainProbe(None, state={"a": state}))
    return Movement().scores(weights, context)["a"]


def test_four_weights_over_two_steps_by_hand():
    steps = [
        (torch.tensor([1.0, -1.0, 2.0, 0.0]), torch.tensor([-3.0, -3.0, 0.5, 9.0])),
        (torch.tensor([2.0, -0.5, 1.0, 0.0]), torch.tensor([-1.0, -2.0, 1.0, 9.0])),
    ]

    state = accumulated(steps)

    # The first grew, the second and the third shrank, the last is pruned.
    assert state.tolist() == [5, -4, -2, 0]
    scores = scores_from(state)
    assert scores.tolist() == [5, -4, -2, 0]


def test_plain_descent_scores_positive_what_it_moves_away_from_zero():
    weight = torch.randn(200)
    goal = torch.randn(200)
    start, state = weight.clone(), torch.zeros(200)
    for _ in range(5):
        gradient = weight - goal
        Movement().update_(state, weight, gradient)
        weight = weight - 1e-3 * gradient

    same = start * goal > 0
    assert torch.equal((state > 0)[same], (weight.abs() > start.abs())[same])
    assert (state[~same] < 0).all()


@given(STEPS)
def test_sums_agree_with_float64(steps):
    state = accumulated(steps)

    expected = -sum(weight.double() * gradient.double() for weight, gradient in steps)
    assert state.dtype == torch.float32
    torch.testing.assert_close(state.double(), expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_other_precisions_are_summed_in_float32(dtype):
    weight, gradient = torch.tensor([1.5, -2.0]).to(dtype), torch.tensor([0.25, 1.0]).to(dtype)

    assert accumulated([(weight, gradient)]).tolist() == [-0.375, 2.0]


def test_scores_are_never_not_a_number_and_leave_the_sums_alone():
    state = torch.tensor([torch.nan, torch.inf, -torch.inf, 1.0])

    scores = scores_from(state)

    assert scores.tolist() == [torch.inf, torch.inf, -torch.inf, 1]
    assert state[0].isnan()


def test_a_criterion_that_accumulates_cannot_be_inverted():
    assert Movement().needs == ("accumulated",)
    with pytest.raises(InputError, match="a criterion that needs nothing but the weights"):
        Inverted(Movement())
