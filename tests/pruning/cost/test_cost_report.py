import math

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from lightprune.pruning.cost.cost_report import LayerCost, cost_report
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets

IMAGE = torch.zeros(1, 3, 32, 32)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return resnet18(num_classes=10)


def test_the_dense_resnet18_has_its_known_figures(network):
    report = cost_report(network, Targets().find(network), IMAGE)

    assert report.parameters == 11_181_642
    assert report.total.weights == report.total.nnz == 11_166_912
    assert report.total.live == report.total.live_nnz == 4_220_096
    assert report.total.macs == report.total.macs_nnz == 37_011_456
    assert report.total.sparsity == report.total.live_sparsity == 0
    assert report.compression_prunable == report.compression_parameters == 1


def test_the_live_macs_of_dense_resnet18_leave_out_the_unreachable_weights(network):
    report = cost_report(network, Targets().find(network), IMAGE)

    assert report.total.macs_live == 37_011_456 - 6_946_816
    assert report.total.mac_density == pytest.approx(1 - 6_946_816 / 37_011_456)


def test_resnet18_at_98_percent_is_compressed_fifty_and_forty_seven_times(network):
    weights = Targets().find(network)
    Pruner().prune(weights, Masks.dense(weights), 0.98).apply_(weights)

    report = cost_report(network, weights, IMAGE)

    assert report.total.nnz == 223_338
    assert report.compression_prunable == pytest.approx(11_166_912 / 223_338)
    assert report.compression_parameters == pytest.approx(11_181_642 / (223_338 + 14_730))
    assert report.total.sparsity == pytest.approx(0.98, abs=1e-7)


def test_nominal_and_live_sparsity_count_their_own_weights(network):
    weights = Targets().find(network)
    nn.init.zeros_(weights["layer4.1.conv2.weight"])

    cost = cost_report(network, weights, IMAGE).total

    assert cost.sparsity == pytest.approx(2_359_296 / 11_166_912)
    assert cost.live_sparsity == pytest.approx(262_144 / 4_220_096)


def two_layers():
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1, bias=False), nn.Flatten(), nn.Linear(32, 3)
    )
    with torch.no_grad():
        network[0].weight.fill_(1.0)
        network[0].weight[0, 0, 0] = 0.0
        network[2].weight.fill_(1.0)
        network[2].weight[:, :16] = 0.0
    return network


def test_two_layers_cost_what_one_counts_by_hand():
    network = two_layers()
    weights = Targets(types=["Conv2d", "Linear"]).find(network)

    report = cost_report(network, weights, torch.zeros(1, 1, 4, 4))

    conv = LayerCost(
        weights=18, live=18, nnz=15, live_nnz=15, macs=288, macs_nnz=240, macs_live=240
    )
    linear = LayerCost(weights=96, live=96, nnz=48, live_nnz=48, macs=96, macs_nnz=48, macs_live=48)
    assert report.layers == {"0.weight": conv, "2.weight": linear}
    assert report.total == LayerCost(114, 114, 63, 63, 384, 288, 288)
    assert report.parameters == 117
    assert report.compression_prunable == pytest.approx(114 / 63)
    assert report.compression_parameters == pytest.approx(117 / 66)
    assert report.total.mac_density == pytest.approx(288 / 384)


def test_unreachable_weights_cost_macs_only_in_the_dense_count():
    network = nn.Conv2d(2, 3, 3, padding=1, bias=False)

    report = cost_report(network, {"weight": network.weight}, torch.zeros(1, 2, 1, 1))

    assert report.total == LayerCost(54, 6, 54, 6, 54, 54, 6)


def test_counting_only_some_weights_still_counts_every_parameter():
    network = two_layers()

    report = cost_report(network, Targets(types=["Linear"]).find(network), torch.zeros(1, 1, 4, 4))

    assert list(report.layers) == ["2.weight"]
    assert report.total.macs == 96
    assert report.parameters == 117


def test_copies_of_the_weights_are_counted_by_their_own_zeros_at_the_layer_of_their_name():
    network = two_layers()
    copies = {"0.weight": torch.zeros(2, 1, 3, 3)}
    copies["0.weight"][0] = 1.0

    report = cost_report(network, copies, torch.zeros(1, 1, 4, 4))

    assert report.total == LayerCost(18, 18, 9, 9, 288, 144, 144)


def test_a_linear_layer_on_a_sequence_counts_every_position():
    network = nn.Linear(4, 5, bias=False)

    report = cost_report(network, {"weight": network.weight}, torch.zeros(1, 7, 4))

    assert report.total.macs == 7 * 20


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        (nn.Conv1d(2, 3, 3, stride=2), (1, 2, 9), 4 * 18),
        (nn.Conv3d(1, 2, 2), (1, 1, 3, 3, 3), 8 * 16),
        (nn.Conv2d(4, 4, 3, groups=4), (1, 4, 5, 5), 9 * 36),
        (nn.Conv2d(1, 1, 3, stride=2, padding=1), (1, 1, 8, 6), 12 * 9),
    ],
)
def test_a_convolution_applies_each_weight_once_an_output_position(layer, shape, macs):
    report = cost_report(layer, {"weight": layer.weight}, torch.zeros(shape))

    assert report.total.macs == macs


def test_a_transposed_convolution_applies_each_weight_once_an_input_position():
    layer = nn.ConvTranspose2d(1, 1, 2, stride=2, bias=False)

    report = cost_report(layer, {"weight": layer.weight}, torch.zeros(1, 1, 4, 4))

    assert report.total.macs == 16 * 4


def test_a_layer_that_is_used_twice_costs_twice():
    layer = nn.Conv2d(2, 2, 3, padding=1, bias=False)
    network = nn.Sequential(layer, layer)

    report = cost_report(network, {"0.weight": layer.weight}, torch.zeros(1, 2, 4, 4))

    assert report.total.weights == report.parameters == 36
    assert report.total.macs == 2 * 36 * 16


def test_a_weight_shared_by_two_layers_is_stored_once_and_multiplied_twice():
    network = nn.Sequential(
        nn.Conv2d(2, 2, 1, bias=False), nn.MaxPool2d(2), nn.Conv2d(2, 2, 1, bias=False)
    )
    network[2].weight = network[0].weight

    report = cost_report(network, Targets().find(network), torch.zeros(1, 2, 4, 4))

    assert report.total.weights == report.parameters == 4
    assert report.total.macs == 4 * (16 + 4)


def test_a_layer_that_is_never_called_costs_no_macs():
    network = nn.Sequential(nn.Conv2d(1, 1, 1))
    network[0].unused = nn.Conv2d(1, 1, 3)

    report = cost_report(network, Targets().find(network), torch.zeros(1, 1, 4, 4))

    assert report.layers["0.unused.weight"].macs == 0
    assert report.layers["0.unused.weight"].mac_density == 0


def test_the_compression_of_a_network_without_weights_left_is_infinite():
    network = nn.Conv2d(1, 1, 3, bias=False)
    nn.init.zeros_(network.weight)

    report = cost_report(network, {"weight": network.weight}, torch.zeros(1, 1, 4, 4))

    assert report.compression_prunable == math.inf
    assert report.compression_parameters == math.inf


def test_a_layer_of_unreachable_weights_alone_has_a_live_sparsity():
    network = nn.Conv2d(1, 1, 2, dilation=2, padding=1, bias=False)

    cost = cost_report(network, {"weight": network.weight}, torch.zeros(1, 1, 1, 1)).total

    assert cost.live == 0
    assert 0 <= cost.live_sparsity <= 1


def test_counting_leaves_the_network_as_it_was(network):
    network.train()
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    cost_report(network, Targets().find(network), IMAGE)

    assert network.training
    assert all(torch.equal(tensor, state[n]) for n, tensor in network.state_dict().items())


class Crossing(nn.Module):
    """Attention of 6 tokens to 7."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, images):
        rows, columns = images.mean(3).transpose(1, 2), images.mean(2).transpose(1, 2)
        return self.attention(rows, columns, columns)[0]


def test_attention_costs_each_weight_as_often_as_its_projection_is_applied():
    network = Crossing()
    weights = Targets(types=("Linear", "MultiheadAttention")).find(network)
    with torch.no_grad():
        for weight in weights.values():
            weight.copy_(torch.arange(weight.numel()).view_as(weight) % 3)

    report = cost_report(network, weights, torch.zeros(1, 4, 6, 7))

    tokens = torch.tensor([6] * 4 + [7] * 8).unsqueeze(1)
    left = weights["attention.in_proj_weight"] != 0
    macs = int((left * tokens).sum())
    assert report.layers == {
        "attention.in_proj_weight": LayerCost(48, 48, 32, 32, 24 * 4 + 56 * 4, macs, macs),
        "attention.out_proj.weight": LayerCost(16, 16, 10, 10, 96, 60, 60),
    }
