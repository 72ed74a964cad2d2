"""MACs of weights that are used outside of their layer's own forward."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from lightprune.errors import InputError
from lightprune.pruning.cost.cost_report import cost_report
from lightprune.pruning.cost.mac_counts import macs_per_weight
from lightprune.pruning.criteria import MagnitudePerMac
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets
from tests.pruning.probe import live_masks_of

IMAGE = torch.zeros(2, 4, 6, 6)


class Using(nn.Module):
    """A layer whose weight is used by a function."""

    def __init__(self, layer, use):
        super().__init__()
        self.layer, self.use = layer, use

    def forward(self, images):
        return self.use(self.layer, images)


def uses_of(layer, use, image=IMAGE):
    network = Using(layer, use)
    used = macs_per_weight(network, {"layer.weight": network.layer.weight}, image)
    return used.get("layer.weight")


def tokens(images):
    return images.flatten(2).transpose(1, 2)


def standardised(layer, images):
    mean, deviation = layer.weight.mean((1, 2, 3), True), layer.weight.std((1, 2, 3), keepdim=True)
    return F.conv2d(images, (layer.weight - mean) / (deviation + 1e-5), layer.bias, padding=1)


def normalised(layer, images):
    flat = layer.weight.reshape(1, len(layer.weight), -1)
    weight = F.batch_norm(flat, None, None, training=True).reshape_as(layer.weight)
    return F.conv2d(images, weight, padding=1)


def inferred(layer, images):
    with torch.inference_mode():
        return F.linear(tokens(images), layer.weight)


def concatenated(layer, images):
    return tokens(images) @ torch.cat([layer.weight, layer.weight.flip(0)])[4:].T


@pytest.mark.parametrize(
    "use",
    [
        lambda layer, images: F.linear(tokens(images), layer.weight, layer.bias),
        lambda layer, images: tokens(images) @ layer.weight.T,
        lambda layer, images: torch.einsum("bchw,oc->bohw", images, layer.weight),
        lambda layer, images: F.conv2d(images, layer.weight[:, :, None, None]),
        lambda layer, images: F.linear(tokens(images), layer.weight.clone().mul(0.5)),
        lambda layer, images: F.linear(tokens(images).double(), layer.weight.double()),
        lambda layer, images: (
            tokens(images) @ torch.cat([layer.weight, layer.weight.flip(0)])[4:].T
        ),
        inferred,
    ],
)
def test_a_linear_weight_multiplies_once_a_token_in_whatever_way_it_is_used(use):
    assert uses_of(nn.Linear(4, 4), use).tolist() == 36


PADDED = [[25, 30, 25], [30, 36, 30], [25, 30, 25]]


@pytest.mark.parametrize(
    "use",
    [
        lambda layer, images: F.conv2d(images, layer.weight, padding=1),
        lambda layer, images: layer(images[:1]),
        standardised,
        normalised,
    ],
)
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_by_a_function_knows_its_padding(use, memory):
    layer = nn.Conv2d(4, 2, 3, padding=1).to(memory_format=memory)

    assert uses_of(layer, use).expand(2, 4, 3, 3)[0, 0].tolist() == PADDED


def test_parts_of_a_weight_count_for_themselves():
    def halves(layer, images):
        above, below = layer.weight.chunk(2)
        return F.linear(tokens(images), above), F.linear(images.mean((2, 3)), below)

    assert uses_of(nn.Linear(4, 6), halves).tolist() == [[36]] * 3 + [[1]] * 3


def test_calls_of_the_layer_and_uses_of_its_weight_add_up():
    def both(layer, images):
        return F.linear(layer(tokens(images)), layer.weight.T)

    assert uses_of(nn.Linear(4, 4), both).tolist() == 72


UNFOLLOWED = {
    "elementwise": (nn.Linear(6, 6), lambda layer, images: (images * layer.weight).sum((1, 2))),
    "merged": (
        nn.Linear(4, 4),
        lambda layer, images: F.linear(tokens(images), layer.weight + layer.weight.T),
    ),
    "embedding": (
        nn.Embedding(5, 3),
        lambda layer, images: layer(images[:, 0, 0].long()) @ images.new_ones(3, 2),
    ),
    "gain": (
        nn.Linear(4, 4),
        lambda layer, images: (tokens(images) * layer.weight.norm()) @ images.new_ones(4, 2),
    ),
}


@pytest.mark.parametrize("name", UNFOLLOWED)
def test_a_weight_that_cannot_be_followed_is_unknown_live_and_refused(name):
    network = Using(*UNFOLLOWED[name])
    weights = {"layer.weight": network.layer.weight}

    cost = cost_report(network, weights, IMAGE).total
    macs = macs_per_weight(network, weights, IMAGE)

    assert (cost.macs, cost.macs_live, cost.mac_density) == (None, None, None)
    assert cost.live == cost.weights
    assert macs == {}
    assert live_masks_of(network, weights, IMAGE)["layer.weight"].all()
    with pytest.raises(InputError, match=r"those of 1 are unknown \(layer\.weight\); allowed"):
        Pruner(MagnitudePerMac()).prune(weights, Masks.dense(weights), 0.5, macs=macs)


def test_what_is_known_of_a_network_does_not_make_its_total_known():
    network = nn.Sequential(nn.Conv2d(4, 4, 1), Using(*UNFOLLOWED["elementwise"]))
    weights = {"0.weight": network[0].weight, "1.layer.weight": network[1].layer.weight}

    report = cost_report(network, weights, IMAGE)

    assert report.layers["0.weight"].macs == 36 * 16
    assert report.total.macs is None


# Products of two activations, which hold no weight.
ACTIVATIONS = (torch.ops.aten.bmm,)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("alexnet", 64),
        ("convnext_tiny", 32),
        ("efficientnet_b0", 32),
        ("mnasnet0_5", 32),
        ("mobilenet_v3_small", 32),
        ("densenet121", 32),
        ("resnext50_32x4d", 32),
        ("shufflenet_v2_x0_5", 32),
        ("squeezenet1_1", 32),
        ("swin_t", 32),
    ],
)
def test_networks_of_torchvision_cost_what_their_operations_do(name, size):
    with torch.device("meta"):
        network = getattr(models, name)(num_classes=10)
    network = network.to_empty(device="cpu").eval()
    for buffer in network.buffers():
        buffer.zero_()
    weights = Targets(types=("Conv2d", "Linear", "MultiheadAttention")).find(network)
    image = torch.zeros(1, 3, size, size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    flops = counter.get_flop_counts()["Global"]

    report = cost_report(network, weights, image)

    assert 2 * report.total.macs == sum(n for op, n in flops.items() if op not in ACTIVATIONS)
    assert all(layer.macs for layer in report.layers.values())
