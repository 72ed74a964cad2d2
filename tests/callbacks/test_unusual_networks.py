"""Shared, frozen, grouped and dilated weights, through pruning, training and saving."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import nn

from lightprune.files import write_weights
from lightprune.pruning.cost.cost_report import cost_report
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets
from tests.training.small import copied, equal, phase, plan, session

COUNTS = {"stem": 3 * 8 * 9, "grouped": 8 * 2 * 9, "depthwise": 8 * 9, "first": 8 * 8 * 9}


class Unusual(nn.Module):
    """A frozen layer, grouped and dilated ones, and two of one weight."""

    def __init__(self, num_classes=4):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.frozen = nn.Conv2d(8, 8, 1).requires_grad_(False)
        self.grouped = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8)
        self.first = nn.Conv2d(8, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.second.weight = self.first.weight
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        x = self.frozen(self.stem(x)).relu()
        x = x + self.depthwise(self.grouped(x)).relu()
        x = self.first(x).relu()
        return self.head((x + self.second(x)).mean((2, 3)))


def test_every_weight_that_is_trained_is_ranked_and_counted_once():
    network = Unusual()
    weights = Targets().find(network)
    cost = cost_report(network, weights, torch.zeros(1, 3, 8, 8))

    masks = Pruner().prune(weights, Masks.dense(weights), 0.75)
    masks.apply_(weights)

    assert {name: w.numel() for name, w in weights.items()} == {
        f"{layer}.weight": count for layer, count in COUNTS.items()
    }
    assert masks.pruned == round(0.75 * sum(COUNTS.values()))
    assert {name: layer.macs // layer.weights for name, layer in cost.layers.items()} == {
        "stem.weight": 16,
        "grouped.weight": 16,
        "depthwise.weight": 16,
        "first.weight": 32,
    }
    assert torch.equal(network.second.weight != 0, masks["first.weight"])


@given(sparsity=st.floats(0, 0.99), scope=st.sampled_from(["global", "local"]))
def test_a_shared_weight_is_pruned_as_one_that_is_not(sparsity, scope):
    torch.manual_seed(0)
    tied = Unusual()
    plain = Unusual()
    plain.load_state_dict(tied.state_dict())
    plain.second = nn.Conv2d(8, 8, 3, padding=1).requires_grad_(False)
    pruner = Pruner(scope=scope)
    masks = []
    for network in (tied, plain):
        weights = Targets().find(network)
        masks.append(pruner.prune(weights, Masks.dense(weights), sparsity))

    assert masks[0].digest() == masks[1].digest()


@pytest.mark.parametrize("optimizer_state", ["mask", "keep"])
def test_training_keeps_what_is_shared_shared_what_is_frozen_as_it_was_and_zeros_zero(
    tmp_path, optimizer_state
):
    how = phase(2, optimizer_state=optimizer_state)
    done = session(tmp_path, plan((0, 0.4), (1, 0.7), epochs=2), network=Unusual, how=how)
    before = copied(done.network.state_dict())
    done.fit()
    network = done.network

    assert done.zeros == round(0.7 * sum(COUNTS.values()))
    assert network.second.weight is network.first.weight
    assert torch.equal(network.frozen.weight, before["frozen.weight"])
    assert not torch.equal(network.stem.weight, before["stem.weight"])
    write_weights(tmp_path / "model.safetensors", network.state_dict())
    bare = Unusual()
    bare.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert equal(bare.state_dict(), network.state_dict())
