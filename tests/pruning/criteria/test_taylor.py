import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lightprune.errors import InputError
from lightprune.pruning.criteria import Inverted, ScoringContext, Snip, Taylor
from lightprune.pruning.masks import Masks
from tests.pruning.probe import PlainProbe

BOTH = pytest.mark.parametrize("kind", [Taylor, Snip])


class FixedGradients:
    """A probe of given gradients: one number a weight and batch."""

    def __init__(self, weights, gradients):
        self.weights = weights
        self.gradients = gradients

    def gradient_scores(self, score, batches, masks):
        return {
            name: sum(score(weight * masks[name], g) for g in self.gradients[name][:batches])
            for name, weight in self.weights.items()
        }


def case(seed, batches=3):
    """A small network with a bias, a norm and two kinds of layers; and batches for it."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)
    )
    data = [(torch.randn(5, 2, 4, 4), torch.randint(4, (5,))) for _ in range(batches)]
    weights = {name: network.get_parameter(name) for name in ("0.weight", "4.weight")}
    masks = Masks({name: torch.rand(w.shape) > 0.3 for name, w in weights.items()})
    return PlainProbe(network, data), weights, masks


def gradients(network, batches):
    """The gradients of the batches' mean losses in float64, batch by batch."""
    found = []
    for inputs, targets in batches:
        network.zero_grad()
        nn.functional.cross_entropy(network(inputs.double()), targets).backward()
        found.append({n: w.grad.clone() for n, w in network.named_parameters()})
    return found


def zeroed(probe, masks):
    network = probe.network.double().eval()
    with torch.no_grad():
        for name, mask in masks.items():
            network.get_parameter(name).mul_(mask)
    return network


WEIGHTS = {"a": torch.tensor([2.0, -1.0, 3.0]), "b": torch.tensor([[4.0]])}
GRADIENTS = {
    "a": torch.tensor([[1.0, 2.0, -1.0], [-1.0, 1.0, 0.5]]),
    "b": torch.tensor([[[0.25]], [[0.5]]]),
}


@pytest.mark.parametrize(
    ("criterion", "scores"),
    [
        (Taylor(batches=1), {"a": [2, 2, 3], "b": [[1]]}),
        (Snip(batches=1), {"a": [2, 2, 3], "b": [[1]]}),
        (Taylor(batches=2), {"a": [4, 3, 4.5], "b": [[3]]}),
        (Snip(batches=2), {"a": [0, 3, 1.5], "b": [[3]]}),
    ],
)
def test_four_scores_of_two_batches_by_hand(criterion, scores):
    masks = Masks.dense(WEIGHTS)

    context = ScoringContext(masks, probe=FixedGradients(WEIGHTS, GRADIENTS))
    found = criterion.scores(WEIGHTS, context)

    assert {name: score.tolist() for name, score in found.items()} == scores


@given(st.integers(0, 9999), st.integers(1, 4))
def test_taylor_sums_the_sizes_of_each_batch_as_autograd_has_them(seed, batches):
    probe, weights, masks = case(seed)

    scores = Taylor(batches).scores(weights, ScoringContext(masks, probe=probe))

    network = zeroed(probe, masks)
    each = gradients(network, probe.batches[:batches])
    for name in weights:
        expected = sum((g[name] * network.get_parameter(name)).abs() for g in each)
        torch.testing.assert_close(scores[name].double(), expected, rtol=1e-4, atol=1e-6)


@given(st.integers(0, 9999), st.integers(1, 3))
def test_snip_takes_the_batches_as_one_large_batch(seed, batches):
    probe, weights, masks = case(seed)

    scores = Snip(batches).scores(weights, ScoringContext(masks, probe=probe))

    network = zeroed(probe, masks)
    inputs, targets = zip(*probe.batches[:batches], strict=True)
    (whole,) = gradients(network, [(torch.cat(inputs), torch.cat(targets))])
    for name in weights:
        expected = batches * (whole[name] * network.get_parameter(name)).abs()
        torch.testing.assert_close(scores[name].double(), expected, rtol=1e-4, atol=1e-6)


def test_the_sensitivity_is_how_fast_the_loss_changes_as_a_connection_fades():
    probe, weights, _ = case(3)
    scores = Snip().scores(weights, ScoringContext(Masks.dense(weights), probe=probe))
    network, (inputs, targets) = probe.network.double().eval(), probe.batches[0]

    def loss(factor):
        with torch.no_grad():
            network[4].weight[1, 7] *= factor
            value = nn.functional.cross_entropy(network(inputs.double()), targets)
            network[4].weight[1, 7] /= factor
        return value.item()

    slope = (loss(1 + 1e-4) - loss(1 - 1e-4)) / 2e-4
    assert scores["4.weight"][1, 7].item() == pytest.approx(abs(slope), rel=1e-3)


@BOTH
def test_only_the_passed_weights_are_scored_and_pruned_ones_score_0(kind):
    probe, weights, masks = case(1)

    scores = kind().scores({"4.weight": weights["4.weight"]}, ScoringContext(masks, probe=probe))

    assert list(scores) == ["4.weight"]
    assert scores["4.weight"].dtype == torch.float32
    assert not scores["4.weight"][~masks["4.weight"]].any()


@BOTH
def test_what_is_not_finite_is_kept_and_never_not_a_number(kind):
    weights = {"a": torch.ones(3)}
    probe = FixedGradients(weights, {"a": torch.tensor([[torch.nan, -torch.inf, 1.0]])})

    scores = kind(batches=1).scores(weights, ScoringContext(Masks.dense(weights), probe=probe))

    assert scores["a"].tolist() == [torch.inf, torch.inf, 1]


@BOTH
@pytest.mark.parametrize("setting", ["batches", "rounds"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "1", None, True])
def test_a_number_that_is_no_count_is_refused(kind, setting, value):
    with pytest.raises(InputError, match=rf"criterion\.{setting}=.*an integer at least 1"):
        kind(**{setting: value})


@BOTH
def test_a_criterion_that_needs_gradients_cannot_be_inverted(kind):
    assert kind().needs == ("gradient_scores",)
    with pytest.raises(InputError, match="a criterion that needs nothing but the weights"):
        Inverted(kind())
