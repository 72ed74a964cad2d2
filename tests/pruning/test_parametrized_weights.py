"""Weights that are computed from others: pruned where zeros of one are zeros of the other."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune, spectral_norm, weight_norm

from lightprune.errors import InputError
from lightprune.pruning import Pruner, Sparsifier, Targets
from lightprune.pruning.parametrized_weights import largest_of_slices, normed_axes, original_of
from lightprune.pruning.regrowth import Regrowth

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")


class SignedSquare(nn.Module):
    """Keeps zeros; divides by nothing."""

    def forward(self, x):
        return x * x.abs()


class Upper(nn.Module):
    """Ignores half of its entries."""

    def forward(self, x):
        return x.triu()


class Shifted(nn.Module):
    """Has no zeros where its entries are zero."""

    def forward(self, x):
        return x.tanh() + 1


def registered(parametrization, layer):
    parametrize.register_parametrization(layer, "weight", parametrization)
    return layer


NEW, OLD = "parametrizations.weight.original", "weight_"
ZEROS_AGREE = {
    "weight_norm": (parametrizations.weight_norm, f"{NEW}1", 0),
    "weight_norm of columns": (partial(parametrizations.weight_norm, dim=1), f"{NEW}1", 1),
    "weight_norm of all": (partial(parametrizations.weight_norm, dim=None), f"{NEW}1", -1),
    "spectral_norm": (parametrizations.spectral_norm, NEW, -1),
    "weight_norm by hook": (weight_norm, f"{OLD}v", 0),
    "spectral_norm by hook": (spectral_norm, f"{OLD}orig", -1),
    "signed square": (partial(registered, SignedSquare()), NEW, None),
}
OTHERS = {
    "orthogonal": parametrizations.orthogonal,
    "upper triangle": partial(registered, Upper()),
    "shifted": partial(registered, Shifted()),
    "masked by torch": partial(prune.l1_unstructured, name="weight", amount=0.5),
}


@pytest.fixture(params=["linear", "convolution"])
def layer(request):
    torch.manual_seed(0)
    return nn.Linear(5, 5) if request.param == "linear" else nn.Conv2d(3, 4, 3)


@pytest.mark.parametrize("name", ZEROS_AGREE)
def test_the_parameter_that_has_the_zeros_stands_for_the_weight(name, layer):
    compute, original, axis = ZEROS_AGREE[name]
    compute(layer).eval()
    state, weight = {n: v.clone() for n, v in layer.state_dict().items()}, layer.weight.clone()

    found = Targets(types=("*",)).find(layer)

    assert list(found) == [original]
    assert normed_axes(layer, found) == ({} if axis is None else {original: axis})
    assert Targets(types=("*",)).left_dense(layer) == ()
    assert all(torch.equal(value, state[n]) for n, value in layer.state_dict().items())
    assert torch.equal(layer.weight, weight)


@pytest.mark.parametrize("name", OTHERS)
def test_a_weight_whose_zeros_are_no_parameters_stays_dense(name, layer):
    compute = OTHERS[name]
    compute(layer)

    assert original_of(layer, "weight") is None
    with pytest.raises(InputError, match="no prunable weight"):
        Targets(types=("*",)).find(layer)
    (dense,) = Targets(types=("*",)).left_dense(layer)
    assert dense.weights == layer.weight.numel()


def test_weights_that_torch_masks_are_named_with_the_remedy():
    network = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    for layer in (network[0], network[2]):
        prune.l1_unstructured(layer, "weight", amount=0.5)

    message = r"\(0, 2: computed from other .*\); allowed are types it contains, .* prune.remove"
    with pytest.raises(InputError, match=message):
        Sparsifier.from_zeros(network)
    for layer in (network[0], network[2]):
        prune.remove(layer, "weight")
    assert Sparsifier.from_zeros(network).masks.pruned == 16


@pytest.mark.parametrize("sparsity", [0.5, 0.75])
@pytest.mark.parametrize("name", ZEROS_AGREE)
def test_training_keeps_exact_zeros_in_the_weight_itself(name, layer, sparsity):
    ZEROS_AGREE[name][0](layer)
    sparsifier = Sparsifier(layer)
    optimizer = torch.optim.Adam(layer.parameters(), 0.01)
    sparsifier.attach(optimizer)
    sparsifier.prune_(sparsity)
    images = torch.randn(4, 5) if isinstance(layer, nn.Linear) else torch.randn(2, 3, 4, 4)
    for _ in range(3):
        optimizer.zero_grad()
        layer(images).square().mean().backward()
        optimizer.step()

    layer(images)
    assert layer.weight.isfinite().all()
    assert int((layer.weight == 0).sum()) == round(sparsity * layer.weight.numel())


def test_a_norm_keeps_an_entry_of_each_slice():
    layer = parametrizations.weight_norm(nn.Linear(10, 4))
    with torch.no_grad():
        layer.parametrizations.weight.original1[2] *= 1e-6
    sparsifier = Sparsifier(layer)

    masks = sparsifier.prune_(0.85)

    assert masks.pruned == 34
    assert all(mask.any() for mask in masks["parametrizations.weight.original1"])
    assert layer.weight.isfinite().all()


@pytest.mark.parametrize(
    "pruner", [Pruner(regrowth=Regrowth(1.0, "random")), Pruner(weights="shuffle")], ids=str
)
def test_chance_leaves_an_entry_of_each_slice(pruner):
    layer = parametrizations.weight_norm(nn.Linear(8, 8))
    sparsifier = Sparsifier(layer, pruner)
    for event in range(1, 6):
        masks = sparsifier.prune_(0.8, progress=event / 8)

        assert masks.pruned == 51
        assert all(mask.any() for mask in masks["parametrizations.weight.original1"])


def test_patterns_go_by_the_name_of_the_layer_and_of_its_weight():
    network = nn.Sequential(parametrizations.weight_norm(nn.Linear(2, 2)), nn.Linear(2, 2))
    for pattern in ("0", "0.weight"):
        assert list(Targets(("Linear",), include=(pattern,)).find(network)) == [f"0.{NEW}1"]


def test_a_matrix_of_a_recurrent_layer_may_be_computed():
    layer = weight_norm(nn.LSTM(3, 4), "weight_hh_l0")

    assert set(Targets(types=("LSTM",)).find(layer)) == {"weight_ih_l0", "weight_hh_l0_v"}


@pytest.mark.parametrize("axis", [-1, 0, 1, 2])
def test_the_largest_kept_entry_of_each_slice_is_marked(axis):
    torch.manual_seed(0)
    weight, mask = torch.randn(3, 4, 2), torch.rand(3, 4, 2) < 0.7
    marks = largest_of_slices(weight, mask, axis)
    kept = weight.abs() * mask

    slices = zip(
        *(t.movedim(axis, 0) if axis >= 0 else t[None] for t in (marks, kept)), strict=True
    )
    for marked, values in slices:
        assert int(marked.sum()) == 1
        assert values[marked] == values.max()
