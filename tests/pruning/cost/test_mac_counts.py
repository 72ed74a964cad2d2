import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn
from torchvision.models import resnet18

from lightprune.errors import InputError
from lightprune.pruning.cost.cost_report import cost_report
from lightprune.pruning.cost.mac_counts import macs_per_weight
from lightprune.pruning.targets import Targets
from tests.pruning.probe import live_masks_of
from tests.pruning.test_reachability import IMAGE, RowAndColumn, convolutions, padded


def counted(layer, shape):
    """Goes through every output and every tap and looks whether the input that it meets exists."""
    size, (out_height, out_width) = shape[2:], layer(torch.zeros(shape)).shape[2:]
    pads = layer.padding
    if isinstance(pads, str):
        spans = zip(layer.dilation, layer.kernel_size, strict=True)
        pads = (0, 0) if pads == "valid" else [d * (k - 1) // 2 for d, k in spans]
    counts = np.zeros(layer.weight.shape, dtype=np.int64)
    for y in range(out_height):
        for x in range(out_width):
            for tap_y, tap_x in np.ndindex(*layer.kernel_size):
                row = y * layer.stride[0] - pads[0] + tap_y * layer.dilation[0]
                column = x * layer.stride[1] - pads[1] + tap_x * layer.dilation[1]
                counts[:, :, tap_y, tap_x] += 0 <= row < size[0] and 0 <= column < size[1]
    return torch.from_numpy(counts)


def found(layer, shape):
    used = macs_per_weight(layer, {"weight": layer.weight}, torch.zeros(shape))["weight"]
    assert used.dtype == torch.int64
    return used.expand(layer.weight.shape)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@given(convolutions())
def test_every_multiplication_with_data_is_counted_and_none_with_padding(case):
    layer, shape = case

    assert torch.equal(found(layer, shape), counted(layer, shape))


def test_a_padded_kernel_of_three_multiplies_so_often():
    assert found(padded(), (1, 1, 3, 4))[0, 0].tolist() == [[6, 8, 6], [9, 12, 9], [6, 8, 6]]
    assert found(padded(), (1, 1, 1, 1))[0, 0].tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]


def test_a_batch_costs_an_image_no_more():
    layer = padded()

    assert torch.equal(found(layer, (5, 1, 4, 4)), found(layer, (1, 1, 4, 4)))


def test_without_padding_the_counts_are_those_of_the_cost_report():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, stride=2), nn.ReLU(), nn.Conv2d(4, 4, 1, groups=2), nn.Flatten(2)
    ).append(nn.Linear(9, 2))
    weights = Targets(types=("Conv2d", "Linear")).find(network)
    image = torch.zeros(1, 1, 8, 8)

    used = macs_per_weight(network, weights, image)
    layers = cost_report(network, weights, image).layers

    sums = {name: int(used[name].expand(w.shape).sum()) for name, w in weights.items()}
    assert sums == {name: layer.macs for name, layer in layers.items()}
    assert [int(used[name].max()) for name in weights] == [9, 9, 4]


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_that_repeats_the_image_is_data(mode):
    layer = nn.Conv2d(1, 1, 3, padding=1, padding_mode=mode)

    assert found(layer, (1, 1, 4, 5)).unique().tolist() == [20]


def test_a_transposed_convolution_multiplies_every_input():
    assert found(nn.ConvTranspose2d(2, 3, 3, stride=2), (1, 2, 4, 5)).unique().tolist() == [20]


def test_the_calls_of_a_layer_and_the_layers_of_a_weight_add_up():
    layer = padded()
    apart = RowAndColumn(padded(), padded())
    apart.second.weight = apart.first.weight

    for network in (RowAndColumn(layer, layer), apart):
        used = macs_per_weight(
            network, {"first.weight": network.first.weight}, IMAGE[:, :1, :3, :3]
        )
        assert used["first.weight"].tolist() == [[0, 2, 0], [2, 6, 2], [0, 2, 0]]


def test_what_the_image_never_reaches_counts_zero_and_what_no_product_reads_not_at_all():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    network[0].unused = nn.Conv2d(1, 1, 3, padding=1)

    used = macs_per_weight(network, named(network), torch.zeros(1, 1, 4, 4))

    assert {n: u.unique().tolist() for n, u in used.items()} == {
        "0.weight": [16],
        "0.unused.weight": [0],
    }


def test_the_unreachable_weights_of_resnet18_are_the_weights_that_multiply_nothing():
    network = resnet18(num_classes=10)
    weights = Targets().find(network)

    used = macs_per_weight(network, weights, IMAGE)
    live = live_masks_of(network, weights, IMAGE)

    assert all(torch.equal(used[n].expand(w.shape) > 0, live[n]) for n, w in weights.items())
    assert used["layer4.1.conv2.weight"].tolist() == [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert used["conv1.weight"].max() == 16 * 16


class Tokens(nn.Module):
    """The pixels of an image as tokens of a layer, laid out in one of several ways."""

    def __init__(self, layout, layer):
        super().__init__()
        self.layout, self.layer = layout, layer

    def forward(self, images):
        tokens = images.flatten(2).transpose(1, 2)
        if self.layout == "sequence first":
            tokens = tokens.transpose(0, 1)
        if self.layout == "all in one":
            tokens = tokens.flatten(0, 1)
        return self.layer(tokens)


@pytest.mark.parametrize("layout", ["batch first", "sequence first", "all in one"])
def test_a_linear_layer_multiplies_once_a_token_however_tokens_are_laid_out(layout):
    network = Tokens(layout, nn.Linear(3, 4))

    used = macs_per_weight(network, {"layer.weight": network.layer.weight}, torch.zeros(5, 3, 2, 7))

    assert used["layer.weight"].tolist() == 14


class Attends(nn.Module):
    """Attention of an image's rows to its columns, or to themselves."""

    def __init__(self, crossed, **settings):
        super().__init__()
        self.crossed = crossed
        self.attention = nn.MultiheadAttention(4, 2, **settings)

    def forward(self, images):
        rows, columns = images.mean(3).transpose(1, 2), images.mean(2).transpose(1, 2)
        if not self.attention.batch_first:
            rows, columns = rows.transpose(0, 1), columns.transpose(0, 1)
        if self.crossed:
            return self.attention(rows, value=columns, key=columns)[0]
        return self.attention(rows, rows, rows, need_weights=False)[0]


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(("crossed", "columns"), [(False, 6), (True, 7)])
def test_attention_projects_every_token_once(batch_first, crossed, columns):
    network = Attends(crossed, batch_first=batch_first)
    weights = Targets(types=("Linear", "MultiheadAttention")).find(network)

    used = macs_per_weight(network, weights, torch.zeros(3, 4, 6, 7))

    rows = used["attention.in_proj_weight"].expand(12, 4)
    assert rows.tolist() == [[6] * 4] * 4 + [[columns] * 4] * 8
    assert used["attention.out_proj.weight"].tolist() == 6


class Crossed(nn.Module):
    """Attention of an image's rows to its columns, which have other features."""

    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, kdim=3, vdim=3, batch_first=True)

    def forward(self, images):
        columns = images.mean(2).transpose(1, 2)
        rows = torch.cat([images, images[:, :1]], 1).mean(3).transpose(1, 2)
        return self.attention(rows, columns, columns)[0]


def test_projections_of_their_own_are_counted_by_what_they_project():
    network = Crossed()
    weights = Targets(types=("MultiheadAttention",)).find(network)

    used = macs_per_weight(network, weights, IMAGE[:, :, :6, :7])

    assert {name: int(count) for name, count in used.items()} == {
        "attention.q_proj_weight": 6,
        "attention.k_proj_weight": 7,
        "attention.v_proj_weight": 7,
    }


@pytest.mark.parametrize("training", [True, False])
def test_an_encoder_layer_is_counted_though_torch_has_a_fast_path_for_it(training):
    layer = nn.TransformerEncoderLayer(3, 1, 5, batch_first=True).train(training)
    network = Tokens("batch first", layer)
    weights = Targets(types=("Linear", "MultiheadAttention")).find(network)

    used = macs_per_weight(network, weights, torch.zeros(2, 3, 2, 2))

    assert [int(used[name].max()) for name in weights] == [4, 4, 4, 4]
    assert len(weights) == 4


def test_a_weight_tied_between_attention_and_another_layer_multiplies_for_both():
    network = Attends(False)
    network.output = nn.Linear(4, 4)
    network.output.weight = network.attention.out_proj.weight
    both = nn.Sequential(network, network.output)

    used = macs_per_weight(
        both, {"0.output.weight": network.output.weight}, torch.zeros(1, 4, 6, 7)
    )

    assert used["0.output.weight"].tolist() == 6 + 6


def compiled_whole(network):
    network.compile(backend="eager")
    return network


def compiled_inside(network):
    network[2] = torch.compile(network[2], backend="eager")
    return network


class ByCompiledFunction(nn.Sequential):
    """Layers called from a compiled function of no module."""

    def forward(self, images):
        return run_compiled(super().forward, images)


@torch.compile(backend="eager")
def run_compiled(function, images):
    return function(images)


def compiled_function(network):
    return ByCompiledFunction(*network)


@pytest.mark.parametrize("compiled", [compiled_whole, compiled_inside, compiled_function])
def test_a_network_that_has_run_compiled_is_counted_as_it_is_without(compiled):
    plain = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 2, 3))
    image = torch.zeros(1, 1, 8, 8)
    expected = [used.tolist() for used in macs_per_weight(plain, named(plain), image).values()]
    network = compiled(plain).eval()
    with torch.no_grad():
        network(image)

    used = macs_per_weight(network, named(network), image)

    assert [count.tolist() for count in used.values()] == expected
    assert int(used[max(used)].max()) == 36


def named(network):
    return {name: w for name, w in network.named_parameters() if name.endswith("weight")}


def test_a_network_whose_weights_no_image_reaches_is_refused():
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    network[0].first, network[0].second = nn.Conv2d(1, 1, 3), nn.Linear(2, 2)
    unused = {name: w for name, w in named(network).items() if name.startswith("0")}

    with pytest.raises(InputError, match=r"none of its 2 prunable layers \(0\.first\.weight, 0\."):
        cost_report(network, unused, torch.zeros(1, 1, 2, 2))
