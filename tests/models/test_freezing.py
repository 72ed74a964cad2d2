"""Frozen parameters are chosen by name, and left out of the prunable ones."""

import pytest
from torch import nn

from lightprune.errors import InputError
from lightprune.models.freezing import freeze_
from lightprune.pruning.targets import FROZEN, Targets
from tests.system.tiny import tiny_resnet


def test_what_a_pattern_names_neither_trains_nor_is_pruned():
    network = tiny_resnet()
    freeze_(network, ["layer1.*", "conv1", "fc.bias"])
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    (left,) = Targets().left_dense(network)

    assert frozen == {"conv1.weight", "fc.bias"} | {
        name for name, _ in network.named_parameters() if name.startswith("layer1.")
    }
    assert not frozen & Targets().find(network).keys()
    assert (left.reason, len(left.layers)) == (FROZEN, 3)


def test_a_tied_parameter_is_frozen_under_either_name():
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    freeze_(network, ["1"])

    assert not network[0].weight.requires_grad
    assert network[0].bias.requires_grad


def test_a_pattern_that_matches_nothing_is_refused_by_name():
    with pytest.raises(InputError, match=r"recipe.finetune.freeze=layer9: matches no parameter; "):
        freeze_(tiny_resnet(), ["layer9"])
