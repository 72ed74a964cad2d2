"""2:4 weights: recognised anywhere, converted on GPUs that can use them, refused elsewhere."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import lightprune
from lightprune.errors import InputError
from lightprune.models.zoo import vit
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets
from lightprune.structured.semi_structured import is_2_4_sparse


def pruned(rows=64, columns=128):
    network = nn.Sequential(nn.Linear(columns, rows), nn.ReLU(), nn.Linear(rows, 10))
    weights = {"0.weight": network[0].weight}
    masks = Pruner(pattern="2:4").prune(weights, Masks.dense(weights), 0.5)
    masks.apply_({name: weight.detach() for name, weight in weights.items()})
    return network


def test_what_the_pruner_leaves_follows_the_pattern():
    network = pruned()

    assert is_2_4_sparse(network[0].weight)
    assert not is_2_4_sparse(network[2].weight)


@given(st.lists(st.sampled_from([0.0, 1.0]), min_size=8, max_size=8))
def test_two_of_each_four_may_be_there(row):
    counts = [sum(row[start : start + 4]) for start in (0, 4)]

    assert is_2_4_sparse(torch.tensor([row])) is (max(counts) <= 2)


def test_rows_that_are_no_whole_groups_do_not_follow_it():
    assert not is_2_4_sparse(torch.zeros(4, 6))


def test_elsewhere_it_is_refused_and_the_way_out_is_named():
    network = pruned()
    before = network[0].weight

    with pytest.raises(InputError, match=r"^device=cpu: .*8\.0 or above.*sparse runtime"):
        lightprune.semi_structured_(network)
    assert network[0].weight is before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_the_layers_that_can_are_converted():
    network = pruned().half().cuda().eval()
    images = torch.randn(64, 128, device="cuda", dtype=torch.float16)
    with torch.inference_mode():
        before = network(images)
        found = lightprune.semi_structured_(network)
        after = network(images)

    assert found.layers == ("0",)
    assert found.skipped == {"2": "its weights are not 2:4"}
    torch.testing.assert_close(after, before, atol=1e-2, rtol=1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_attention_stays_dense_on_a_gpu():
    network = vit()
    weights = Targets(types=("Linear",)).find(network)
    masks = Pruner(pattern="2:4").prune(weights, Masks.dense(weights), 0.5)
    masks.apply_({name: weight.detach() for name, weight in weights.items()})
    network = network.half().cuda().eval()
    images = torch.randn(64, 3, 32, 32, device="cuda", dtype=torch.float16)
    with torch.inference_mode():
        before = network(images)
        found = lightprune.semi_structured_(network)
        after = network(images)

    assert len(found.layers) >= 12
    assert all("self_attention" not in name for name in found.layers)
    assert sum("MultiheadAttention" in why for why in found.skipped.values()) == 6
    torch.testing.assert_close(after, before, atol=2e-2, rtol=2e-2)


def test_a_network_without_linear_layers_is_refused_on_a_cpu_too():
    with pytest.raises(InputError, match=r"^device=cpu: "):
        lightprune.semi_structured_(nn.Conv2d(3, 4, 3))
