import copy
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import lightprune
from lightprune.errors import InputError
from lightprune.pruning.criteria import Magnitude, ScoringContext, Snip, Synflow
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from tests.pruning.probe import PlainProbe

# Wide layers have many small weights, narrow ones few large ones: one ranking empties some.
WIDTHS = (4, 10, 10, 2, 10, 10, 2, 10)


def chain(*widths, seed=0, bias=False):
    torch.manual_seed(seed)
    layers = []
    for sizes in pairwise(widths):
        layers += [nn.Linear(*sizes, bias=bias), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def weights_of(network):
    return {n: w.detach() for n, w in network.named_parameters() if n.endswith("weight")}


def flows(network, masks):
    """The scores without the root that keeps them within float32."""
    probe = PlainProbe(network, image=(network[0].in_features,))
    found = Synflow().scores(weights_of(network), ScoringContext(masks, probe=probe))
    return {name: score.double() ** 8 for name, score in found.items()}


def pruned(criterion, probe, sparsity):
    weights = weights_of(probe.network)
    return Pruner(criterion).prune(weights, Masks.dense(weights), sparsity, probe=probe)


def test_six_scores_by_hand():
    network = chain(2, 2, 1)
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[1.0, -2.0], [3.0, 0.0]]))
        network[2].weight.copy_(torch.tensor([[-4.0, 5.0]]))

    found = flows(network, Masks.dense(weights_of(network)))

    # Of an image of ones: 4 (1 + 2) + 5 (3 + 0).
    torch.testing.assert_close(
        found["0.weight"],
        torch.tensor([[4.0, 8.0], [15.0, 0.0]], dtype=torch.float64),
        rtol=1e-5,
        atol=0,
    )
    torch.testing.assert_close(
        found["2.weight"], torch.tensor([[12.0, 15.0]], dtype=torch.float64), rtol=1e-5, atol=0
    )


@given(st.lists(st.integers(1, 6), min_size=2, max_size=6), st.integers(0, 999), st.floats(0, 0.6))
def test_every_layer_carries_the_same_flow(widths, seed, pruned):
    network = chain(*widths, seed=seed)
    weights = weights_of(network)
    masks = Masks({name: torch.rand(w.shape) >= pruned for name, w in weights.items()})

    found = flows(network, masks)

    sums = [score.sum().item() for score in found.values()]
    assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-4)
    assert all(not score[~masks[name]].any() for name, score in found.items())


def test_scores_see_neither_signs_nor_data_and_rank_as_autograd_does():
    network = chain(3, 5, 4, 2, bias=True)
    masks = Masks.dense(weights_of(network))
    absolute = chain(3, 5, 4, 2, bias=True).double()
    with torch.no_grad():
        for value in absolute.parameters():
            value.abs_()
    absolute(torch.ones(1, 3, dtype=torch.float64)).sum().backward()

    found = flows(network, masks)

    for name in masks:
        weight = absolute.get_parameter(name)
        torch.testing.assert_close(found[name], weight * weight.grad, rtol=1e-5, atol=0)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_flows_far_outside_of_float32_are_told_apart(scale):
    network = chain(*[3] * 30)
    with torch.no_grad():
        for value in network.parameters():
            value.abs_().add_(0.1).mul_(scale)
    weights = weights_of(network)
    masks = Masks.dense(weights)
    probe = PlainProbe(network, image=(3,))

    found = Synflow().scores(weights, ScoringContext(masks, probe=probe))

    exact = {name: flow * weights[name] for name, flow in probe.synaptic_flow(masks).items()}
    for name, score in found.items():
        assert score.dtype == torch.float32
        assert score.isfinite().all()
        assert torch.equal(score.flatten().argsort(), exact[name].flatten().argsort())


class FixedFlow:
    def __init__(self, flow):
        self.flow = flow

    def synaptic_flow(self, masks):
        return {"a": self.flow}


def test_what_is_not_finite_is_kept_and_what_is_not_there_scores_0():
    weights = {"a": torch.tensor([1.0, 1.0, 0.0, 1.0, -256.0])}
    flow = torch.tensor([torch.nan, torch.inf, torch.inf, torch.inf, 1.0], dtype=torch.float64)
    masks = Masks({"a": torch.tensor([True, True, True, False, True])})

    found = Synflow().scores(weights, ScoringContext(masks, probe=FixedFlow(flow)))

    assert found["a"].tolist() == [torch.inf, torch.inf, 0, 0, 2]


@pytest.mark.parametrize("seed", range(2))
def test_no_layer_empties_where_one_shot_criteria_have_emptied_several(seed):
    network = chain(*WIDTHS, seed=seed)
    data = [(torch.randn(50, WIDTHS[0]), torch.randint(WIDTHS[-1], (50,)))]
    probe = PlainProbe(network, data, image=(WIDTHS[0],))
    total = Masks.dense(weights_of(network)).total
    most = 1 - (len(WIDTHS) - 1) / total

    kept = pruned(Synflow(), probe, most)

    assert kept.kept == len(WIDTHS) - 1
    assert kept.emptied() == ()
    for criterion in (Magnitude(), Snip(), Synflow(rounds=1)):
        assert pruned(criterion, probe, most).emptied()


@pytest.mark.parametrize("value", [0, -1, 1.5, "1", None, True])
def test_a_number_of_rounds_that_is_no_count_is_refused(value):
    with pytest.raises(InputError, match=r"criterion\.rounds=.*an integer at least 1"):
        Synflow(value)


def test_it_ranks_in_a_hundred_rounds_by_default():
    assert Synflow().needs == ("synaptic_flow",)
    assert Synflow().rounds == 100


class Masked(nn.Module):
    """Has a buffer of bools, an integer, and outputs of several kinds."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4, bias=False)
        self.register_buffer("causal", torch.ones(4, 4).tril().bool())
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        y = self.layer(x)
        return {"logits": y, "also": (y, self.seen), "none": None}


def test_networks_with_masks_and_several_outputs_are_pruned():
    network = Masked()
    twin = nn.Sequential(copy.deepcopy(network.layer))
    x = torch.ones(1, 4)
    masks = lightprune.prune(network, 0.5, Pruner(Synflow(rounds=3)), example=x)
    expected = lightprune.prune(twin, 0.5, Pruner(Synflow(rounds=3)), example=x)

    # All outputs count, here the same one twice.
    assert torch.equal(masks["layer.weight"], expected["0.weight"])


def test_a_recurrent_layer_is_pruned():
    masks = lightprune.prune(
        nn.LSTM(3, 4), 0.5, Pruner(Synflow(rounds=3)), example=torch.ones(2, 1, 3)
    )
    assert masks.pruned == 56
