import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lightprune.errors import InputError
from lightprune.pruning.cost.cost_report import cost_report
from lightprune.pruning.cost.mac_counts import macs_per_weight
from lightprune.pruning.criteria import Inverted, Magnitude, MagnitudePerMac
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets
from tests.pruning.cost.test_mac_counts import counted
from tests.pruning.probe import scores_of
from tests.pruning.strategies import (
    ANYTHING,
    SHAPES,
    flags_for,
    sparsities,
    tensors,
    weight_dicts,
)
from tests.pruning.test_reachability import convolutions
from tests.system.entry import record, shortest
from tests.training.small import plan, session

EXPONENTS = st.one_of(st.sampled_from([0, 0.25, 0.5, 1, 2]), st.floats(0, 2))
# The first layer is the one that costs: 16 MACs a weight.
SIX = {"a": torch.tensor([4.4, -8.0, 14.0]), "b": torch.tensor([1.5, 1.0, -3.0])}
COSTS = {"a": torch.tensor(16), "b": torch.tensor(1)}


def pruned(weights, sparsity, macs, exponent=0.5, **settings):
    pruner = Pruner(MagnitudePerMac(exponent), **settings)
    return pruner.prune(weights, Masks.dense(weights), sparsity, macs=macs)


@pytest.mark.parametrize(
    ("exponent", "kept"),
    [
        (0, {"a": [True, True, True], "b": [False, False, False]}),
        (0.5, {"a": [False, True, True], "b": [False, False, True]}),
        (1, {"a": [False, False, False], "b": [True, True, True]}),
    ],
)
def test_six_weights_of_two_layers_by_hand(exponent, kept):
    masks = pruned(SIX, 0.5, COSTS, exponent)

    assert {name: mask.tolist() for name, mask in masks.items()} == kept


def test_four_scores_by_hand():
    macs = torch.tensor([[1, 4], [9, 0]])
    weight = torch.tensor([[[3.0, 3.0], [3.0, 3.0]]])

    scores = scores_of(MagnitudePerMac(), weight, macs)

    assert scores.tolist() == [[[3.0, 1.5], [1.0, -torch.inf]]]


@given(
    SHAPES.flatmap(lambda s: tensors(s, ANYTHING, (torch.float32, torch.bfloat16))),
    st.integers(0, 10**6).map(torch.tensor),
)
def test_at_exponent_0_the_scores_are_the_magnitudes_to_the_bit(weight, macs):
    scores = scores_of(MagnitudePerMac(0), weight, macs)

    expected = scores_of(Magnitude(), weight)
    assert torch.equal(scores.view(torch.int32), expected.view(torch.int32))
    assert scores.stride() == weight.stride() or not weight.numel()


@given(weight_dicts(), sparsities(), st.sampled_from(["global", "local"]), st.data())
def test_at_exponent_0_the_masks_are_those_of_the_magnitude(weights, sparsity, scope, data):
    macs = data.draw(flags_for(weights))
    unreachable = data.draw(st.sampled_from(["rank", "first"]))

    masks = pruned(weights, sparsity, macs, 0, scope=scope, unreachable=unreachable)

    plain = Pruner(scope=scope, unreachable=unreachable)
    dense = Masks.dense(weights)
    assert masks.digest() == plain.prune(weights, dense, sparsity, macs=macs).digest()


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@given(convolutions(), EXPONENTS.filter(bool))
def test_scores_agree_with_float64_and_multiplications_counted_one_by_one(case, exponent):
    layer, shape = case
    weight = layer.weight.detach()
    macs = macs_per_weight(layer, {"weight": layer.weight}, torch.zeros(shape))["weight"]

    scores = scores_of(MagnitudePerMac(exponent), layer.weight, macs).double()

    counts = counted(layer, shape).double()
    live = counts > 0
    expected = weight.double().abs()[live] / counts[live] ** exponent
    torch.testing.assert_close(scores[live], expected, rtol=2e-7, atol=0)
    assert (scores[~live] == -torch.inf).all()


@given(SHAPES.flatmap(lambda s: tensors(s, ANYTHING)), EXPONENTS, st.integers(0, 10**6))
def test_scores_are_float32_of_the_same_shape_and_layout_and_never_nan(weight, exponent, macs):
    scores = scores_of(MagnitudePerMac(exponent), weight, torch.tensor(macs))

    assert (scores.dtype, scores.shape) == (torch.float32, weight.shape)
    assert scores.stride() == weight.stride() or not weight.numel()
    assert not scores.isnan().any()


class TwoSizes(nn.Module):
    """A layer on a map of 4x4 and one on a map of 1x1: 16 MACs a weight, and one."""

    def __init__(self):
        super().__init__()
        self.large = nn.Conv2d(2, 4, 1, bias=False)
        self.small = nn.Conv2d(4, 6, 1, bias=False)

    def forward(self, x):
        return self.small(self.large(x).mean((2, 3), keepdim=True))


@given(st.lists(EXPONENTS, min_size=2, max_size=4).map(sorted), sparsities(), st.integers(0, 9999))
def test_a_higher_exponent_never_leaves_more_macs(exponents, sparsity, seed):
    torch.manual_seed(seed)
    network, image = TwoSizes(), torch.zeros(1, 2, 4, 4)
    weights = Targets().find(network)
    dense = {name: w.detach().clone() for name, w in weights.items()}
    macs = macs_per_weight(network, weights, image)

    left = []
    for exponent in exponents:
        pruned(dense, sparsity, macs, exponent).apply_(weights)
        left.append(cost_report(network, weights, image).total.mac_density)
        network.load_state_dict(dense)

    assert left == sorted(left, reverse=True)


@pytest.mark.parametrize("unreachable", ["rank", "first"])
def test_what_multiplies_nothing_goes_first_however_large(unreachable):
    weights = {"a": torch.tensor([9.0, 0.1, 8.0, 0.2]), "b": torch.tensor([0.3, 7.0])}
    macs = {"a": torch.tensor([0, 100, 0, 100]), "b": torch.tensor([1, 0])}

    masks = pruned(weights, 0.5, macs, 0.01, unreachable=unreachable)

    assert all(torch.equal(masks[name], macs[name] > 0) for name in weights)


def test_local_pruning_ranks_the_taps_of_a_layer_by_their_costs():
    weights = {"a": torch.tensor([[3.0, 2.0]]), "b": torch.tensor([[0.1, 0.2]])}
    macs = {"a": torch.tensor([4, 1]), "b": torch.tensor([1, 1])}

    masks = pruned(weights, 0.5, macs, scope="local")

    assert {n: m.tolist() for n, m in masks.items()} == {"a": [[False, True]], "b": [[False, True]]}


def test_a_floor_keeps_the_best_of_a_costly_layer():
    masks = pruned(SIX, 0.5, COSTS, 1, floor=0.3)

    assert {n: m.tolist() for n, m in masks.items()} == {
        "a": [False, False, True],
        "b": [True, False, True],
    }


def test_what_is_pruned_stays_pruned():
    pruner = Pruner(MagnitudePerMac(1))
    masks = Masks({"a": torch.tensor([True, True, False]), "b": torch.tensor([True] * 3)})

    after = pruner.prune(SIX, masks, 0.5, macs=COSTS)

    assert after["a"].tolist() == [False, False, False]
    assert after["b"].all()


def test_missing_macs_are_named():
    with pytest.raises(TypeError, match=r"needs context\.macs: prune\(\.\.\., macs=\.\.\.\)"):
        Pruner(MagnitudePerMac()).prune(SIX, Masks.dense(SIX), 0.5)


@pytest.mark.parametrize("exponent", [-0.1, 2.1, float("nan"), "1", None, True])
def test_an_exponent_out_of_range_is_refused(exponent):
    with pytest.raises(InputError, match=r"criterion\.exponent=.*a number in \[0, 2\]"):
        MagnitudePerMac(exponent)


def test_a_criterion_that_needs_macs_cannot_be_inverted():
    assert MagnitudePerMac().needs == ("macs",)
    with pytest.raises(InputError, match="a criterion that needs nothing but the weights"):
        Inverted(MagnitudePerMac())


def test_a_checkpoint_of_another_exponent_is_refused_by_name(tmp_path):
    course = plan((0, 0.5), epochs=1)
    state = (
        session(tmp_path, course, pruner=Pruner(MagnitudePerMac(0.5))).fit().pruning.state_dict()
    )
    other = session(tmp_path, course, pruner=Pruner(MagnitudePerMac(0.25)))
    other.pruning.load_state_dict(state)

    with pytest.raises(InputError, match=r"criterion=.*'exponent': 0.5.*'exponent': 0.25"):
        other.fit()


@pytest.mark.long
def test_a_run_prunes_where_the_time_goes_and_refuses_another_exponent(server, tmp_path):
    # At a rate at which one epoch leaves enough for a path through the stem.
    rate = "recipe.dense.learning_rate.peak=0.04"
    asked = shortest("pruner/criterion=magnitude_per_mac", "schedule.sparsity=0.6", rate)
    done = server.train(tmp_path, *asked)
    assert done.returncode == 0, done.stderr
    first = record(tmp_path / "run")

    refused = server.train(tmp_path, *asked, "pruner.criterion.exponent=0.25")

    assert refused.returncode == 1
    assert "pruner.criterion.exponent=0.5, this one has 0.25" in refused.stderr
    assert first["cost"]["live_nnz"] == first["cost"]["nnz"]
    assert first["cost"]["mac_density"] < (1 - 0.6) / 2
