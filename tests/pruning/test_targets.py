from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torchvision.models import resnet18

from lightprune.errors import InputError
from lightprune.pruning.targets import COMPUTED, FROZEN, LeftDense, Targets, matches


@pytest.fixture(scope="module")
def network():
    return resnet18(num_classes=10)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", True),
        ("layer4.*", True),
        ("layer4.0.conv1", True),
        ("layer4.0.conv1.weight", True),
        ("*.conv1", True),
        ("*.conv?", True),
        ("layer[34].*", True),
        ("layer4", False),
        ("conv1", False),
        ("Layer4.*", False),
        ("layer3.*", False),
    ],
)
def test_a_pattern_matches_the_name_of_a_parameter_or_of_its_layer(pattern, expected):
    assert matches("layer4.0.conv1.weight", pattern) is expected


def test_every_convolution_of_resnet18_is_prunable_by_default_in_network_order(network):
    found = Targets().find(network)

    names = [name for name, p in network.named_parameters() if p.dim() == 4]
    assert list(found) == names
    assert sum(weight.numel() for weight in found.values()) == 11_166_912
    assert all(found[name] is network.get_parameter(name) for name in names)


def test_linear_targets_in_resnet18_give_the_classifier_alone(network):
    assert list(Targets(types=["Linear"]).find(network)) == ["fc.weight"]


def test_several_types_are_found_together(network):
    found = Targets(types=("Conv2d", "Linear")).find(network)

    assert sum(weight.numel() for weight in found.values()) == 11_172_032


def test_only_what_an_include_pattern_matches_is_found(network):
    found = Targets(include=["layer1.0.*", "conv1"]).find(network)

    assert list(found) == ["conv1.weight", "layer1.0.conv1.weight", "layer1.0.conv2.weight"]


def test_what_an_exclude_pattern_matches_is_left_out(network):
    found = Targets(exclude=["conv1", "*.downsample.0.weight"]).find(network)

    assert len(found) == 16
    assert not any("downsample" in name for name in found)


def test_a_layer_that_is_the_whole_network_is_found():
    assert list(Targets().find(nn.Conv2d(1, 1, 1))) == ["weight"]


def test_frozen_parameters_are_left_out():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1))
    network[0].requires_grad_(False)

    assert list(Targets().find(network)) == ["1.weight"]


def test_a_network_of_frozen_parameters_has_nothing_to_prune():
    network = nn.Sequential(nn.Conv2d(1, 2, 1)).requires_grad_(False)

    with pytest.raises(InputError, match="no prunable weight"):
        Targets().find(network)


def test_a_tensor_shared_by_two_layers_is_found_once_under_its_first_name():
    network = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1))
    network[1].weight = network[0].weight

    assert list(Targets().find(network)) == ["0.weight"]


def test_a_layer_used_under_two_names_is_found_once():
    layer = nn.Conv2d(2, 2, 1)

    assert list(Targets().find(nn.Sequential(layer, layer))) == ["0.weight"]


def test_biases_and_norms_are_never_found(network):
    found = Targets(types=["Conv2d", "Linear"]).find(network)

    assert all(name.endswith(".weight") and weight.dim() > 1 for name, weight in found.items())


@pytest.mark.parametrize(
    ("name", "nearest"), [("Conv2D", "Conv2d"), ("Linaer", "Linear"), ("conv2d", "Conv2d")]
)
def test_an_unknown_type_is_refused_with_the_nearest(name, nearest):
    with pytest.raises(InputError, match=rf"targets\.types={name}: .*mean {nearest}\?"):
        Targets(types=[name])


def test_the_nearest_type_is_one_that_is_allowed():
    with pytest.raises(InputError) as error:
        Targets(types=["Parametr"])

    assert "mean Parameter?" not in str(error.value)


@pytest.mark.parametrize("name", ["functional", "Parameter", "init"])
def test_a_name_in_torch_nn_that_is_no_layer_is_refused(name):
    with pytest.raises(InputError, match=rf"targets\.types={name}: allowed are layer"):
        Targets(types=[name])


@pytest.mark.parametrize("field", ["types", "include", "exclude"])
@pytest.mark.parametrize("value", ["Conv2d", [1], [None], 1, None])
def test_a_setting_that_is_no_list_of_names_is_refused(field, value):
    with pytest.raises(InputError, match=rf"targets\.{field}=.*allowed is a list of names"):
        Targets(**{field: value})


@pytest.mark.parametrize("field", ["include", "exclude"])
def test_a_pattern_that_matches_nothing_is_refused_with_the_nearest_layer(network, field):
    message = rf"targets\.{field}=layer4\.0\.convv1: .*did you mean layer4\.0\.conv1\?"
    with pytest.raises(InputError, match=message):
        Targets(**{field: ["*", "layer4.0.convv1"]}).find(network)


def test_a_type_that_the_network_lacks_is_refused(network):
    with pytest.raises(InputError, match=r"targets\.types=\['Conv3d'\]: .*no prunable"):
        Targets(types=["Conv3d"]).find(network)


@pytest.mark.parametrize("settings", [{"types": []}, {"include": []}, {"exclude": ["*"]}])
def test_settings_that_leave_nothing_to_prune_are_refused(network, settings):
    with pytest.raises(InputError, match="no prunable weight"):
        Targets(**settings).find(network)


def test_targets_from_lists_and_tuples_are_equal():
    assert Targets(types=["Conv2d"], exclude=["fc"]) == Targets(types=("Conv2d",), exclude=("fc",))


def test_found_parameters_are_the_ones_an_optimizer_moves():
    network = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False))
    weight = Targets().find(network)["0.weight"]

    with torch.no_grad():
        weight.fill_(3.0)

    assert network[0].weight.item() == 3.0


class Tied(nn.Module):
    """Two linear layers and an embedding with one weight, as language models have it."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.first = nn.Linear(3, 5)
        self.second = nn.Linear(3, 5)
        self.first.weight = self.second.weight = self.embedding.weight


def test_a_weight_shared_with_another_kind_of_layer_bears_the_name_of_the_right_kind():
    assert list(Targets(types=["Linear"]).find(Tied())) == ["first.weight"]


@pytest.mark.parametrize("pattern", ["first", "second", "second.weight"])
def test_patterns_may_go_by_any_name_of_a_shared_weight(pattern):
    network = nn.Sequential(OrderedDict(tied=Tied(), last=nn.Linear(5, 2)))
    linear = Targets(types=["Linear"])

    kept = replace(linear, include=[f"tied.{pattern}"]).find(network)
    left = replace(linear, exclude=[f"tied.{pattern}"]).find(network)

    assert list(kept) == ["tied.first.weight"]
    assert list(left) == ["last.weight"]


def test_grouped_dilated_and_strided_convolutions_are_convolutions():
    network = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 8, 3, dilation=2, groups=2),
        nn.Conv2d(8, 2, 1, 2),
    )

    assert [w.numel() for w in Targets().find(network).values()] == [36, 144, 16]


def test_attention_has_its_projections_and_linear_layers_its_output():
    attention = nn.MultiheadAttention(8, 2)

    projections = Targets(types=["MultiheadAttention"]).find(attention)
    output = Targets(types=["Linear"]).find(attention)

    assert {n: tuple(w.shape) for n, w in projections.items()} == {"in_proj_weight": (24, 8)}
    assert {n: tuple(w.shape) for n, w in output.items()} == {"out_proj.weight": (8, 8)}


def test_attention_on_features_of_other_sizes_has_three_projections():
    network = nn.Sequential(nn.MultiheadAttention(8, 2, kdim=3, vdim=5))

    found = Targets(types=["MultiheadAttention", "Linear"]).find(network)

    assert {n: tuple(w.shape) for n, w in found.items()} == {
        "0.q_proj_weight": (8, 8),
        "0.k_proj_weight": (8, 3),
        "0.v_proj_weight": (8, 5),
        "0.out_proj.weight": (8, 8),
    }


def test_a_pattern_may_name_the_attention_or_its_parameter():
    layer = nn.TransformerEncoderLayer(8, 2, 16)

    for pattern in ("self_attn", "self_attn.in_proj_weight"):
        targets = Targets(types=["Linear", "MultiheadAttention"], include=[pattern])
        assert list(targets.find(layer)) == ["self_attn.in_proj_weight"]


def four_layers():
    return nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(8, 3), nn.Linear(3, 2)
    )


class Symmetric(nn.Module):
    """A parametrization that uses the upper triangle alone, for its lower one too."""

    def forward(self, x):
        return x.triu() + x.triu(1).transpose(-1, -2)


def symmetric(layer):
    parametrize.register_parametrization(layer, "weight", Symmetric())


@pytest.mark.parametrize(
    "compute",
    [
        symmetric,
        parametrizations.orthogonal,
        lambda layer: parametrize.register_parametrization(layer, "weight", nn.Softplus()),
        lambda layer: prune.l1_unstructured(layer, "weight", amount=0.5),
    ],
)
def test_computed_weights_are_left_dense_and_said_to_be(compute):
    network = four_layers()
    compute(network[0])
    state = {name: value.clone() for name, value in network.state_dict().items()}

    assert list(Targets().find(network)) == ["1.weight"]
    assert Targets().left_dense(network) == (LeftDense(COMPUTED, ("0",), 18),)
    assert all(torch.equal(value, state[n]) for n, value in network.state_dict().items())


def test_frozen_weights_are_left_dense_and_said_to_be():
    network = four_layers()
    network[1].requires_grad_(False)
    network[3].weight.requires_grad_(False)
    parametrizations.orthogonal(network[4])
    targets = Targets(types=("Conv2d", "Linear"))

    assert list(targets.find(network)) == ["0.weight"]
    assert targets.left_dense(network) == (
        LeftDense(FROZEN, ("1", "3"), 72 + 24),
        LeftDense(COMPUTED, ("4",), 6),
    )


def test_what_is_shared_is_left_dense_once():
    layer = parametrizations.orthogonal(nn.Linear(2, 2))
    frozen = nn.Linear(2, 2).requires_grad_(False)
    tied = nn.Linear(2, 2)
    tied.weight = frozen.weight
    network = nn.Sequential(layer, layer, frozen, tied, nn.Linear(2, 2))

    dense = Targets(types=("Linear",)).left_dense(network)

    assert dense == (LeftDense(COMPUTED, ("0",), 4), LeftDense(FROZEN, ("2",), 4))


@pytest.mark.parametrize(
    "settings", [{"exclude": ["0"]}, {"include": ["1"]}, {"types": ["Linear"]}]
)
def test_weights_that_nobody_would_have_pruned_are_not_left_dense(settings):
    network = four_layers()
    network[0].requires_grad_(False)
    targets = Targets(**settings)

    assert targets.find(network)
    assert targets.left_dense(network) == ()


@pytest.mark.parametrize(
    ("types", "reason"),
    [
        (["LSTM", "Linear"], "LSTM: contributes no prunable weight: the network has no such layer"),
        (["Linear", "Conv1d"], "Conv1d: contributes .* the network has no such layer"),
        (
            ["Linear", "Dropout"],
            "Dropout: contributes .* each of its 1 layers has no parameter named weight",
        ),
        (["Linear", "ReLU"], "ReLU: contributes .* each of its 2 layers has no parameter named"),
        (["Conv2d", "Bilinear"], "Bilinear: contributes .* each of its 1 layers is frozen"),
        (["Conv2d", "Conv3d"], "Conv3d: contributes .* each of its 1 layers is computed from"),
    ],
)
def test_a_type_that_contributes_nothing_is_refused(types, reason):
    network = four_layers().append(nn.ReLU()).append(nn.ReLU()).append(nn.Dropout())
    network.append(nn.Bilinear(2, 2, 2).requires_grad_(False))
    network.append(parametrizations.orthogonal(nn.Conv3d(1, 1, 2)))

    with pytest.raises(InputError, match=rf"targets\.types={reason}.*; allowed are types"):
        Targets(types=types).find(network)


def test_the_types_of_the_options_need_not_all_be_there():
    network = four_layers()
    targets = Targets(types=("Conv2d", "Linear", "MultiheadAttention"))

    assert len(targets.find(network)) == 4
    assert targets.missing_types(network) == ("MultiheadAttention",)


def test_patterns_may_name_what_is_left_dense():
    network = four_layers()
    network[0].requires_grad_(False)

    assert list(Targets(exclude=["0"]).find(network)) == ["1.weight"]


def test_a_layer_without_a_shape_is_refused_by_its_name():
    network = nn.Sequential(nn.Linear(2, 2), nn.LazyLinear(3))
    with pytest.raises(InputError, match=r"^module: 1\.weight has no shape yet; allowed is a"):
        Targets(("*",)).find(network)
    network(torch.zeros(1, 2))

    assert [*Targets(("*",)).find(network)] == ["0.weight", "1.weight"]
