"""Networks of fewer channels: rebuilt from numbers alone, and refused where numbers do not tell."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lightprune.errors import InputError
from lightprune.models.registry import builder_of
from lightprune.models.slim import channel_counts, slim_network

TORCHVISION = "torchvision.models"
OWN = "lightprune.models"
KNOWN = (
    f"{TORCHVISION}.resnet18",
    f"{TORCHVISION}.mobilenet_v2",
    f"{OWN}.resnet20",
    f"{OWN}.resnet50_cifar",
    f"{OWN}.vgg16_bn_cifar",
)


def shapes(network):
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("base", KNOWN)
def test_all_channels_are_the_whole_network(base):
    whole = builder_of(base)(num_classes=7)
    same = slim_network(num_classes=7, base=base, channels=channel_counts(whole))
    same.load_state_dict(whole.state_dict())
    images = torch.randn(2, 3, 32, 32)

    assert torch.equal(same.eval()(images), whole.eval()(images))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_numbers_up_to_the_whole_are_what_the_layers_get(data):
    base = f"{OWN}.resnet20"
    with torch.device("meta"):
        whole = builder_of(base)(num_classes=10)
        channels = [data.draw(st.integers(1, count)) for count in channel_counts(whole)]
        smaller = slim_network(num_classes=10, base=base, channels=channels)

    assert channel_counts(smaller) == channels
    assert [*shapes(smaller)] == [*shapes(whole)]
    for layer in smaller.modules():
        if isinstance(layer, nn.Conv2d):
            assert layer.weight.shape[:2] == (layer.out_channels, layer.in_channels)
        if isinstance(layer, nn.BatchNorm2d):
            sizes = {len(t) for t in layer.state_dict().values() if t.dim()}
            assert sizes == {layer.num_features}


def test_a_depthwise_convolution_keeps_a_group_a_channel():
    whole = builder_of(f"{TORCHVISION}.mobilenet_v2")(num_classes=10)
    halves = [-(-count // 2) if count not in (3, 10) else count for count in channel_counts(whole)]
    smaller = slim_network(num_classes=10, base=f"{TORCHVISION}.mobilenet_v2", channels=halves)

    groups = {layer.groups for layer in smaller.modules() if isinstance(layer, nn.Conv2d)}
    assert {16, 48, 72} <= groups
    assert smaller.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


@pytest.mark.parametrize("change", [[0], [17], [True], [2.0], [16, 3]], ids=str)
def test_other_numbers_are_refused(change):
    whole = channel_counts(builder_of(f"{OWN}.resnet20")(num_classes=10))
    channels = change + whole[1:]

    with pytest.raises(InputError, match=r"^channels=\[.*allowed are 65 whole numbers from 1 to"):
        slim_network(num_classes=10, base=f"{OWN}.resnet20", channels=channels)


@pytest.mark.parametrize(
    ("base", "reason"),
    [
        (f"{OWN}.vit", r"is a .*: allowed are Conv2d, Linear, BatchNorm2d"),
        ("torchvision.models.resnext50_32x4d", "conv2 has 32 groups: allowed are 1, or one for"),
        ("os.system", r"^base=os\.system: allowed are the networks of torchvision"),
        ("lightprune.models.slim_network", "^base=.*: allowed are the networks of"),
    ],
)
def test_networks_that_numbers_do_not_tell_are_refused(base, reason):
    with pytest.raises(InputError, match=reason), torch.device("meta"):
        slim_network(num_classes=10, base=base, channels=[1])
