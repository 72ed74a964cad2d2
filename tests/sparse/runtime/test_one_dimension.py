"""Convolutions, norms and pools in one dimension run in the runtime as maps of one row."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from lightprune import sparse
from tests.sparse.nets import prune, randomize_batch_norms


@st.composite
def layers(draw, channels, length):
    """One layer that a signal of this length allows, and how many channels it gives."""
    kernel, stride = draw(st.integers(1, min(4, length))), draw(st.integers(1, 3))
    pad = draw(st.integers(0, kernel // 2))
    match draw(st.sampled_from(["conv", "conv", "norm", "relu", "max", "average", "enlarge"])):
        case "norm":
            return nn.BatchNorm1d(channels), channels
        case "relu":
            return nn.ReLU(), channels
        case "max":
            return nn.MaxPool1d(kernel, stride, pad, ceil_mode=draw(st.booleans())), channels
        case "average":
            counts = draw(st.booleans())
            return nn.AvgPool1d(kernel, stride, pad, count_include_pad=counts), channels
        case "enlarge":
            return nn.Upsample(scale_factor=2), channels
    groups, out = draw(st.sampled_from([1, channels])), channels * draw(st.integers(1, 2))
    dilation = draw(st.integers(1, 2)) if kernel * 2 < length else 1
    return nn.Conv1d(channels, out, kernel, stride, pad, dilation, groups), out


@st.composite
def networks(draw):
    """A network on signals of two channels, and their length."""
    torch.manual_seed(draw(st.integers(0, 2**32)))
    length, channels, chain = draw(st.integers(1, 40)), 2, [nn.Conv1d(2, 2, 1)]
    for _ in range(draw(st.integers(1, 4))):
        signal = nn.Sequential(*chain).eval()(torch.zeros(2, 2, length))
        layer, channels = draw(layers(channels, signal.shape[2]))
        chain.append(layer)
    ends = [nn.Conv1d(channels, 3, 1)]
    if draw(st.booleans()):
        ends = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(channels, 3)]
    return nn.Sequential(*chain, *ends).eval(), length


@pytest.mark.long
@settings(max_examples=8)
@given(networks(), st.integers(0, 2**32), st.sampled_from([1, 2, 17]))
def test_a_network_in_one_dimension_is_one_region(case, seed, count):
    network, length = case
    generator = torch.Generator().manual_seed(seed)
    randomize_batch_norms(network, generator)
    for layer in network:
        if isinstance(layer, nn.Conv1d | nn.Linear):
            prune(layer.weight, 0.7, generator)
    network[0].weight.data.fill_(1.0)

    compiled = sparse.compile(network, torch.zeros(1, 2, length), min_speedup=0)

    signals = torch.randn(count, 2, length, generator=generator)
    with torch.no_grad():
        exact = network.double()(signals.double())
    scale = exact.abs().max().clamp(min=1e-2)
    assert ((compiled(signals) - exact) / scale).abs().max() < 1e-5
    if any(layer.region for layer in compiled.layers):
        assert len({layer.region for layer in compiled.layers}) == 1


@pytest.mark.parametrize(
    ("layer", "pool", "shape"),
    [
        (nn.Conv1d, F.max_pool2d, (4, 9)),
        (nn.Conv1d, F.avg_pool2d, (4, 9)),
        (nn.Linear, F.max_pool1d, (4,)),
        (nn.Linear, F.avg_pool1d, (4,)),
    ],
    ids=["maximum of maps", "mean of maps", "maximum of rows", "mean of rows"],
)
def test_a_pool_that_takes_the_batch_for_channels_stays_in_torch(layer, pool, shape):
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            size = (4, 4, 1) if layer is nn.Conv1d else (4, 4)
            self.first, self.last = layer(*size), layer(*size)

        def forward(self, values):
            return self.last(pool(self.first(values), 3, 1, 1))

    network = Pooled().eval()

    compiled = sparse.compile(network, torch.zeros(2, *shape), min_speedup=0)

    assert [layer.region for layer in compiled.layers] == ["region_1", "region_2"]
    values = torch.randn(3, *shape)
    with torch.no_grad():
        torch.testing.assert_close(compiled(values), network(values))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.Linear(4, 5), (4,)), (nn.Linear(4, 5), (6, 4)), (nn.Conv1d(4, 5, 3), (4, 9))],
    ids=["vectors", "tokens", "rows"],
)
def test_no_inputs_give_no_results(layer, shape):
    compiled = sparse.compile(layer, torch.zeros(2, *shape), min_speedup=0)

    assert compiled.layers[0].region
    assert compiled(torch.zeros(0, *shape)).shape == layer(torch.zeros(0, *shape)).shape
