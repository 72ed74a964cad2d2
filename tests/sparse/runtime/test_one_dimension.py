"""Convolutions, norms and pools in one dimension run in the runtime as maps of one row."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

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
