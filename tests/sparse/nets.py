"""Small random networks with random zeros, for the tests of tracing and lowering."""

import copy
import itertools

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

FUNCTIONS = (
    nn.ReLU6,
    nn.Hardswish,
    nn.SiLU,
    nn.Sigmoid,
    nn.Hardsigmoid,
    nn.GELU,
    lambda: nn.LeakyReLU(0.2),
    lambda: nn.Hardtanh(0.1, 0.5),
)


def randomize_batch_norms(network, generator):
    """Gives batch norms random statistics, scales and shifts, in place."""
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d | nn.BatchNorm1d):
            norm.running_mean.copy_(torch.randn(norm.running_mean.shape, generator=generator) / 2)
            norm.running_var.copy_(torch.rand(norm.running_var.shape, generator=generator) + 0.3)
            if norm.affine:
                norm.weight.data.copy_(torch.randn(norm.weight.shape, generator=generator))
                norm.bias.data.copy_(torch.randn(norm.bias.shape, generator=generator))
    return network


def prune(weight, density, generator):
    """Zeroes a random share of a weight in place; whole channels die at low densities."""
    weight.data *= torch.rand(weight.shape, generator=generator, dtype=torch.float64) < density


class Random(nn.Module):
    """A chain of drawn layers; each may add or append an earlier value of a fitting shape."""

    def __init__(self, layers, joins, head):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.joins = joins
        self.head = head

    def forward(self, x):
        earlier = [x]
        for layer, (join, back) in zip(self.layers, self.joins, strict=True):
            x = layer(x)
            other = earlier[back % len(earlier)]
            if join == "gate" and other.shape[:2] == x.shape[:2]:
                x = x * other.mean((2, 3), keepdim=True).sigmoid()
            if join == "shuffle" and x.shape[1] % 2 == 0:
                x = F.channel_shuffle(x, 2)[:, 1:].clone()  # No view: ReLUs are in place.
            if join == "add" and other.shape == x.shape:
                x = x + other
            if (
                join == "cat"
                and other.shape[2:] == x.shape[2:]
                and other.shape[1] + x.shape[1] < 17
            ):
                x = torch.cat([x, other], 1)
            earlier.append(x)
        return self.head(x)


class Ends(nn.Module):
    """Pools to a size, flattens and classifies."""

    def __init__(self, channels, size, hidden):
        super().__init__()
        self.size = size
        self.norm = nn.BatchNorm1d(channels * size[0] * size[1]) if hidden == 1 else None
        features = channels * size[0] * size[1]
        self.hidden = nn.Linear(features, 5) if hidden else None
        self.last = nn.Linear(5 if hidden else features, 3, bias=bool(hidden))

    def forward(self, x):
        x = F.adaptive_avg_pool2d(x, self.size).flatten(1)
        if self.norm is not None:
            x = self.norm(x)
        if self.hidden is not None:
            x = F.dropout(F.relu(self.hidden(x)), training=self.training)
        return self.last(x)


@st.composite
def resizes(draw, channels, size):
    """What enlarges, pads or crops a map of at most 12 rows and columns, or shuffles its pixels."""
    room = [n <= 6 for n in size]
    sides = [draw(st.integers(-1 if n > 2 else 0, 2 if n < 8 else 0)) for n in (*size, *size)]
    top, left, bottom, right = sides
    choices = [nn.ZeroPad2d((left, right, top, bottom))]
    if all(room):
        choices.append(nn.UpsamplingNearest2d(scale_factor=2))
        choices.append(nn.Upsample(size=(9, 7), mode="nearest-exact"))
        choices.append(nn.ReplicationPad2d((2, 0, 1, 0)))
    if all(room) and channels % 4 == 0:
        choices.append(nn.Sequential(nn.PixelShuffle(2), nn.Conv2d(channels // 4, channels, 1)))
    return draw(st.sampled_from(choices))


@st.composite
def layers(draw, channels, size):
    """One layer that a map of `size` allows, and what it makes of `channels`."""
    kind = draw(
        st.sampled_from(
            ["conv"] * 3
            + ["relu"] * 2
            + ["norm", "function", "max", "avg", "depthwise", "resize", "resize"]
            + ["transposed"] * (max(size) < 7)
        )
    )
    if kind == "transposed":
        groups, kernel, stride = (
            draw(st.sampled_from([1, channels])),
            draw(st.integers(1, 4)),
            draw(st.integers(1, 3)),
        )
        pad, more = draw(st.integers(0, (kernel - 1) // 2)), draw(st.integers(0, stride - 1))
        windows = (kernel, stride, pad, more)
        return nn.ConvTranspose2d(channels, channels, *windows, groups), channels
    if kind == "resize":
        return draw(resizes(channels, size)), channels
    if kind == "norm":
        return nn.BatchNorm2d(channels, affine=draw(st.booleans())), channels
    if kind == "relu":
        return nn.ReLU(inplace=draw(st.booleans())), channels
    if kind == "function":
        return draw(st.sampled_from(FUNCTIONS))(), channels
    pair = st.tuples(st.integers(1, 3), st.integers(1, 3))
    kernel, stride = draw(pair), draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    if kind in ("max", "avg"):
        kernel = tuple(min(k, n) for k, n in zip(kernel, size, strict=True))
        pad = tuple(draw(st.integers(0, k // 2)) for k in kernel)
        if kind == "max":
            return nn.MaxPool2d(kernel, stride, pad, ceil_mode=draw(st.booleans())), channels
        return nn.AvgPool2d(kernel, stride, pad, draw(st.booleans()), draw(st.booleans())), channels
    groups = channels if kind == "depthwise" else draw(st.sampled_from([1, 1, 1, 2]))
    out = channels if kind == "depthwise" else draw(st.sampled_from([2, 4, 4, 4, 6]))
    groups = groups if channels % groups == 0 and out % groups == 0 else 1
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    bias = draw(st.booleans())
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    if draw(st.booleans()):
        return nn.Conv2d(channels, out, kernel, 1, "same", dilation, groups, bias), out
    pad = tuple(
        draw(st.integers(max(0, -(-(s - n) // 2)), 3)) for s, n in zip(spans, size, strict=True)
    )
    return nn.Conv2d(channels, out, kernel, stride, pad, dilation, groups, bias), out


@st.composite
def networks(draw):
    """A network in float64 and evaluation mode, and its input shape."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    torch.manual_seed(draw(st.integers(0, 2**32)))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    x, chain, joins, earlier = torch.zeros(2, *shape), [], [], [torch.zeros(2, *shape)]
    for _ in range(draw(st.integers(1, 7))):
        layer = draw(st.sampled_from([*chain, None])) if len(chain) > 2 else None
        reusable = isinstance(layer, nn.Conv2d) and layer.in_channels == x.shape[1] == 4
        if not reusable or min(x.shape[2:]) < 5:
            layer, _ = draw(layers(x.shape[1], x.shape[2:]))
        chain.append(layer)
        joins.append(
            (draw(st.sampled_from(["add", "cat", "gate", "shuffle", ""])), draw(st.integers(0, 6)))
        )
        x = Random(chain, joins, nn.Identity()).eval()(earlier[0])
    sizes = [(1, 1), tuple(x.shape[2:])]
    hidden = draw(st.integers(0, 2))
    # Uneven windows are known right before a linear layer alone, not before a norm.
    size = draw(st.sampled_from(sizes if hidden == 1 else [*sizes, (2, 3)]))
    ends = Ends(x.shape[1], size, hidden)
    head = ends if draw(st.booleans()) else nn.Conv2d(x.shape[1], 2, 1)
    return randomize_batch_norms(Random(chain, joins, head).double().eval(), generator), shape


@st.composite
def densities(draw, times=6):
    """For several prunings: a seed, and the shares that layers take in turn."""
    share = st.sampled_from([0.0, 0.05, 0.2, 0.4, 0.7, 1.0, 1.0])
    return [
        (draw(st.integers(0, 2**32)), draw(st.lists(share, min_size=1, max_size=5)))
        for _ in range(times)
    ]


def pruned(network, seed, shares):
    """A copy with random zeros, layer by layer, and with other batch norm statistics."""
    network, generator = copy.deepcopy(network), torch.Generator().manual_seed(seed)
    layers = [
        m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
    for layer, density in zip(layers, itertools.cycle(shares)):
        prune(layer.weight, density, generator)
    return randomize_batch_norms(network, generator)
