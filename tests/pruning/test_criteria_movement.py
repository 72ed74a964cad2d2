import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightprune.errors import InputError
from lightprune.pruning.criteria import CollectingCriterion, Inverted, Movement
from tests.pruning.strategies import SHAPES, tensors

STEPS = SHAPES.flatmap(
    lambda shape: st.lists(
        st.tuples(*[tensors(shape, st.floats(-8, 8, width=16))] * 2), min_size=1, max_size=4
    )
)


def collected(steps):
    evidence = torch.zeros_like(steps[0][0], dtype=torch.float32)
    for weight, gradient in steps:
        Movement().collect_(evidence, weight, gradient)
    return evidence


def test_four_weights_over_two_steps_by_hand():
    steps = [
        (torch.tensor([1.0, -1.0, 2.0, 0.0]), torch.tensor([-3.0, -3.0, 0.5, 9.0])),
        (torch.tensor([2.0, -0.5, 1.0, 0.0]), torch.tensor([-1.0, -2.0, 1.0, 9.0])),
    ]

    evidence = collected(steps)

    # The first grew, the second and the third shrank, the last is pruned.
    assert evidence.tolist() == [5, -4, -2, 0]
    scores = Movement().saliency_of("a", steps[-1][0], evidence)
    assert scores.tolist() == [5, -4, -2, 0]


def test_plain_descent_scores_positive_what_it_moves_away_from_zero():
    weight = torch.randn(200)
    goal = torch.randn(200)
    start, evidence = weight.clone(), torch.zeros(200)
    for _ in range(5):
        gradient = weight - goal
        Movement().collect_(evidence, weight, gradient)
        weight = weight - 1e-3 * gradient

    same = start * goal > 0
    assert torch.equal((evidence > 0)[same], (weight.abs() > start.abs())[same])
    assert (evidence[~same] < 0).all()


@given(STEPS)
def test_evidence_agrees_with_float64(steps):
    evidence = collected(steps)

    expected = -sum(weight.double() * gradient.double() for weight, gradient in steps)
    assert evidence.dtype == torch.float32
    torch.testing.assert_close(evidence.double(), expected, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_other_precisions_are_collected_in_float32(dtype):
    weight, gradient = torch.tensor([1.5, -2.0]).to(dtype), torch.tensor([0.25, 1.0]).to(dtype)

    assert collected([(weight, gradient)]).tolist() == [-0.375, 2.0]


def test_scores_are_never_not_a_number_and_leave_the_evidence_alone():
    evidence = torch.tensor([torch.nan, torch.inf, -torch.inf, 1.0])

    scores = Movement().saliency_of("a", torch.zeros(4), evidence)

    assert scores.tolist() == [torch.inf, torch.inf, -torch.inf, 1]
    assert evidence[0].isnan()


def test_what_collects_evidence_cannot_be_inverted():
    assert isinstance(Movement(), CollectingCriterion)
    with pytest.raises(InputError, match="a criterion that asks for nothing but the weights"):
        Inverted(Movement())
