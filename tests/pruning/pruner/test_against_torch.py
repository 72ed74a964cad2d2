import pytest
import torch
from torch import nn
from torch.nn.utils import prune as torch_prune
from torchvision.models import resnet18

from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from tests.pruning.pruner.brute_force import dense


def tie_free(*sizes):
    """Tensors that together hold 1, 2, 3, ... in random order and with random signs."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randperm(sum(sizes), generator=generator).float() + 1
    values *= torch.randint(0, 2, values.shape, generator=generator) * 2 - 1
    return {f"layer{i}.weight": part for i, part in enumerate(values.split(list(sizes)))}


def torch_modules(weights):
    modules = {}
    for name, weight in weights.items():
        modules[name] = nn.Module()
        modules[name].weight = nn.Parameter(weight.detach().clone())
    return modules


def torch_global(modules, amount):
    pairs = [(module, "weight") for module in modules.values()]
    torch_prune.global_unstructured(pairs, pruning_method=torch_prune.L1Unstructured, amount=amount)


def torch_local(modules, amount):
    for module in modules.values():
        torch_prune.l1_unstructured(module, "weight", amount)


def torch_masks(modules):
    return Masks({name: module.weight_mask.bool() for name, module in modules.items()})


@pytest.mark.parametrize(("scope", "reference"), [("global", torch_global), ("local", torch_local)])
@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.94, 0.98])
def test_one_shot_masks_equal_those_of_torch(scope, reference, sparsity):
    weights = tie_free(4000, 10_000, 2000)
    modules = torch_modules(weights)

    reference(modules, sparsity)
    masks = Pruner(scope=scope).prune(weights, dense(weights), sparsity)

    assert masks.digest() == torch_masks(modules).digest()


@pytest.mark.parametrize(
    ("scope", "reference", "sizes"),
    [
        ("global", torch_global, (400_000, 599_000, 1000)),
        ("local", torch_local, (3910, 2924, 2574)),
    ],
)
def test_eight_rounds_of_thirty_percent_equal_those_of_torch(scope, reference, sizes):
    weights = tie_free(*sizes)
    modules, masks = torch_modules(weights), dense(weights)
    for k in range(1, 9):
        reference(modules, 0.3)
        masks = Pruner(scope=scope).prune(weights, masks, 1 - 0.7**k)

        theirs = torch_masks(modules)
        assert masks.pruned == theirs.pruned
        assert masks.digest() == theirs.digest()


def test_rounds_whose_relative_amounts_round_apart_equal_those_of_torch_by_count():
    weights = tie_free(700, 313, 90)
    modules, masks = torch_modules(weights), dense(weights)
    for k in range(1, 9):
        before = masks.pruned
        masks = Pruner().prune(weights, masks, 1 - 0.7**k)
        torch_global(modules, masks.pruned - before)

        assert masks.digest() == torch_masks(modules).digest()


@pytest.fixture(scope="module")
def resnet_weights():
    torch.manual_seed(0)
    network = resnet18(num_classes=10)
    return {
        f"{name}.weight": module.weight.detach()
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
    }


def test_global_masks_of_resnet18_equal_those_of_torch(resnet_weights):
    modules = torch_modules(resnet_weights)

    torch_global(modules, 0.98)
    masks = Pruner().prune(resnet_weights, dense(resnet_weights), 0.98)

    assert masks.kept == 223_338
    assert masks.digest() == torch_masks(modules).digest()


def test_local_masks_of_resnet18_equal_those_of_torch_but_for_single_corrections(resnet_weights):
    modules = torch_modules(resnet_weights)

    torch_local(modules, 0.98)
    masks, theirs = (
        Pruner(scope="local").prune(resnet_weights, dense(resnet_weights), 0.98),
        torch_masks(modules),
    )

    assert masks.pruned == round(0.98 * masks.total)
    for name in masks:
        difference = int(masks[name].sum()) - int(theirs[name].sum())
        assert abs(difference) <= 1
        assert int((masks[name] != theirs[name]).sum()) == abs(difference)


def test_masks_of_resnet18_in_channels_last_equal_those_of_the_contiguous_network(resnet_weights):
    relaid = {
        name: weight.contiguous(memory_format=torch.channels_last)
        for name, weight in resnet_weights.items()
    }

    first, second = (Pruner().prune(w, dense(w), 0.98) for w in (resnet_weights, relaid))

    assert first.digest() == second.digest()
