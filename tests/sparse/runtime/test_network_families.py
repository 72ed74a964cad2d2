"""Blocks of well-known families run in the runtime as a whole, and compute what they did."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from lightprune import sparse
from tests.sparse.lowering import lowered
from tests.sparse.nets import randomize_batch_norms


def block(inputs, outputs, kernel, activation, **settings):
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, **settings)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), activation)


class InvertedResidual(nn.Module):
    """Of MobileNet: depthwise, squeeze and excite, a linear projection and a shortcut."""

    def __init__(self, activation, gate):
        super().__init__()
        self.expand = block(8, 24, 1, activation())
        self.depthwise = block(24, 24, 3, activation(), groups=24)
        self.squeeze, self.excite, self.gate = nn.Conv2d(24, 6, 1), nn.Conv2d(6, 24, 1), gate()
        self.project = block(24, 8, 1, nn.Identity())

    def forward(self, maps):
        inner = self.depthwise(self.expand(maps))
        squeezed = F.relu(self.squeeze(F.adaptive_avg_pool2d(inner, 1)))
        return maps + self.project(self.gate(self.excite(squeezed)) * inner)


class ShuffleUnit(nn.Module):
    """Of ShuffleNet: half of the channels pass, the other half is convolved, all are shuffled."""

    def __init__(self):
        super().__init__()
        self.branch = nn.Sequential(
            block(4, 4, 1, nn.ReLU()), block(4, 4, 3, nn.Identity(), groups=4)
        )

    def forward(self, maps):
        kept, convolved = maps.chunk(2, 1)
        joined = torch.cat([kept, self.branch(convolved)], 1)
        n, c, h, w = joined.shape
        return joined.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


class Fire(nn.Module):
    """Of SqueezeNet: two kernels side by side, and a pool whose last window is incomplete."""

    def __init__(self):
        super().__init__()
        self.squeeze = nn.Conv2d(8, 4, 1)
        self.pointwise, self.wide = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, maps):
        maps = F.relu(self.squeeze(F.max_pool2d(maps, 3, 2, ceil_mode=True)))
        return torch.cat([F.relu(self.pointwise(maps)), F.relu(self.wide(maps))], 1)


class UNet(nn.Module):
    """Of U-Net: a smaller map, enlarged again, beside the larger one that it was made from."""

    def __init__(self, enlarge):
        super().__init__()
        self.wide, self.deep = block(8, 8, 3, nn.ReLU()), block(8, 16, 3, nn.ReLU())
        self.enlarge, self.join = enlarge, block(24, 8, 3, nn.ReLU())

    def forward(self, maps):
        wide = self.wide(maps)
        deep = self.enlarge(self.deep(F.max_pool2d(wide, 2)))
        deep = F.interpolate(deep, wide.shape[2:])
        return self.join(torch.cat([wide, deep], 1))


class Shortcut(nn.Module):
    """Of the first ResNets on small images: every other pixel, and channels of zeros."""

    def __init__(self):
        super().__init__()
        self.body = block(8, 16, 3, nn.Identity(), stride=2)

    def forward(self, maps):
        return F.relu(self.body(maps) + F.pad(maps[:, :, ::2, ::2], (0, 0, 0, 0, 4, 4)))


class Signal(nn.Module):
    """Of networks for sound and electrocardiograms: strided, residual, dilated, gated, pooled."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(3, 8, 7, 2, 3), nn.BatchNorm1d(8), nn.ReLU())
        self.wide = nn.Sequential(nn.Conv1d(8, 8, 3, 1, 4, 4), nn.ReLU(), nn.AvgPool1d(3, 1, 1))
        self.gate, self.narrow = nn.Conv1d(8, 8, 1), nn.Conv1d(8, 8, 4, groups=2, padding="same")
        self.head = nn.Linear(8, 5)

    def forward(self, signal):
        inner = F.pad(F.max_pool1d(self.stem(signal), 3, 2), (1, 0))
        inner = inner + self.wide(inner)
        gate = self.gate(F.adaptive_avg_pool1d(inner, 1)).sigmoid()
        return self.head(F.interpolate(self.narrow(inner * gate), scale_factor=2).mean(-1))


class Feedforward(nn.Module):
    """Of an encoder: two linear layers on tokens."""

    def __init__(self):
        super().__init__()
        self.wide, self.narrow = nn.Linear(8, 40), nn.Linear(40, 8)

    def forward(self, tokens):
        return self.narrow(F.gelu(self.wide(tokens)))


def stem(*layers):
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2, padding=1), nn.ReLU6(), *layers)


BLOCKS = {
    "MobileNetV3": lambda: stem(InvertedResidual(nn.Hardswish, nn.Hardsigmoid)),
    "EfficientNet": lambda: nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(3, 8, 3, 2), InvertedResidual(nn.SiLU, nn.Sigmoid)
    ),
    "ResNeXt": lambda: stem(block(8, 16, 3, nn.LeakyReLU(0.1), groups=4)),
    "ShuffleNet": lambda: stem(ShuffleUnit(), ShuffleUnit()),
    "SqueezeNet": lambda: stem(Fire(), Fire()),
    "U-Net": lambda: stem(
        UNet(nn.Upsample(scale_factor=2)), UNet(nn.ConvTranspose2d(16, 16, 2, 2))
    ),
    "generator": lambda: nn.Sequential(
        nn.ConvTranspose2d(3, 8, 4, 2, 1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 3, 3, 2),
    ),
    "CIFAR ResNet": lambda: stem(Shortcut(), nn.Conv2d(16, 12, 3), nn.PixelShuffle(2)),
    "signal": Signal,
    "encoder": Feedforward,
}
SHAPES = {"encoder": (9, 8), "signal": (3, 75)}


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_is_one_region(name):
    torch.manual_seed(0)
    network = randomize_batch_norms(BLOCKS[name](), torch.Generator().manual_seed(0)).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            prune.l1_unstructured(layer, "weight", amount=0.5)
            prune.remove(layer, "weight")
    shape = SHAPES.get(name, (3, 22, 18))

    compiled = sparse.compile(network, torch.zeros(1, *shape), min_speedup=0)

    assert {layer.region for layer in compiled.layers} == {"region_1"}
    assert compiled.left_in_torch == ()
    exact = copy.deepcopy(network).double()
    for count in (1, 2, 17):
        inputs = torch.randn(count, *shape)
        with torch.no_grad():
            torch.testing.assert_close(
                compiled(inputs).double(), exact(inputs.double()), rtol=1e-4, atol=2e-6
            )


def test_no_selection_of_channels_is_left_between_convolutions():
    network = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ChannelShuffle(2), nn.Conv2d(8, 4, 3))

    program = lowered(network, (3, 6, 6))

    assert [step.layers for step in program.steps] == [("0",), ("2",)]


def test_what_the_runtime_does_not_know_stays_in_torch_between_regions():
    class Unknown(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
            self.dilated = nn.ConvTranspose2d(4, 4, 2, dilation=2)

        def forward(self, maps):
            maps = F.interpolate(self.first(maps), scale_factor=2, mode="bilinear")
            maps = F.avg_pool2d(
                F.pad(self.last(maps), (1, 1, 1, 1), value=1.0), 2, divisor_override=3
            )
            return self.dilated(maps)

    network = Unknown().eval()

    compiled = sparse.compile(network, torch.zeros(1, 3, 9, 8), min_speedup=0)

    assert {layer.name: layer.region for layer in compiled.layers} == {
        "first": "region_1",
        "last": "region_2",
        "dilated": None,
    }
    assert compiled.left_in_torch == (
        "upsample_bilinear2d",
        "pad",
        "avg_pool2d",
        "conv_transpose2d",
    )
    images = torch.randn(17, 3, 9, 8)
    with torch.no_grad():
        torch.testing.assert_close(compiled(images), network(images), rtol=1e-4, atol=1e-5)


def test_multiplications_of_a_transposed_convolution_are_those_of_its_weights_with_every_pixel():
    network = nn.Sequential(nn.ConvTranspose2d(2, 4, 3, 2, groups=2))

    (layer,) = sparse.compile(network, torch.zeros(1, 2, 5, 6), min_speedup=0).layers

    assert (layer.region, layer.macs) == ("region_1", 2 * 5 * 6 * 2 * 3 * 3)
