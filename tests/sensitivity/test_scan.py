"""A scan measures what it says, and leaves the network as it was."""

import copy

import pytest
import torch
from torch import nn

from lightprune.data.digits import Digits
from lightprune.pruning.pruner import Pruner
from lightprune.sensitivity.scan import prune_jointly, scan_layers
from tests.sensitivity.conftest import quiet

SPARSITIES = (0.5, 0.97)


def state_of(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def same(network, state):
    return all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())


def reference(loaded, name=None, sparsity=0.0):
    """Zeros and images right if a layer is pruned: written out, and on a network of its own."""
    network, zeros = copy.deepcopy(loaded.network), 0
    if name is not None:
        weight = dict(network.named_parameters())[name].data
        zeros = round(sparsity * weight.numel())
        flat = weight.flatten().clone()
        flat[flat.abs().argsort(stable=True)[:zeros]] = 0
        weight.copy_(flat.view(weight.shape))
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    seen = {norm: [] for norm in norms}
    hooks = [
        norm.register_forward_pre_hook(lambda norm, args: seen[norm].append(args[0].detach()))
        for norm in norms
    ]
    network.train()
    with torch.no_grad():
        for images in loaded.calibration:
            network(images)
    for hook in hooks:
        hook.remove()
    for norm, inputs in seen.items():
        parts = [x.double().transpose(0, 1).flatten(1) for x in inputs]
        norm.running_mean.copy_(torch.stack([p.mean(1) for p in parts]).mean(0))
        norm.running_var.copy_(torch.stack([p.var(1) for p in parts]).mean(0))
    network.eval()
    with torch.no_grad():
        right = [(network(x).argmax(1) == y).sum() for x, y in loaded.validation]
    return zeros, int(sum(right))


def test_every_point_is_the_network_with_that_layer_alone_pruned(loaded):
    names = list(loaded.weights)
    found = scan_layers(loaded, SPARSITIES, quiet)

    assert [layer.name for layer in found.layers] == names
    assert found.images == 60
    assert found.correct == reference(loaded)[1]
    for layer in (found.layers[0], found.layers[7], found.layers[-1]):
        assert layer.start == 0
        assert layer.weights == loaded.weights[layer.name].numel()
        for point in layer.points:
            expected = reference(loaded, layer.name, point.sparsity)
            assert (point.zeros, point.correct) == expected
    assert [p.sparsity for p in found.layers[0].points] == list(SPARSITIES)


def test_the_network_is_as_before(loaded):
    state = state_of(loaded.network)
    scan_layers(loaded, (0.9,), quiet)
    prune_jointly(loaded, loaded.pruner, 0.9)

    assert same(loaded.network, state)
    assert not loaded.network.training


def test_an_interrupted_scan_leaves_the_network_as_before(loaded):
    state, said = state_of(loaded.network), []

    def stop(line):
        said.append(line)
        if len(said) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scan_layers(loaded, (0.9,), stop)
    assert same(loaded.network, state)


def test_layers_that_are_sparse_already_start_there(loaded):
    pruner, weights = loaded.pruner, loaded.weights
    name = next(iter(weights))
    weights[name].data[:6] = 0
    found = scan_layers(loaded, (0.5, 0.9), quiet).layers[0]

    size = weights[name].numel()

    assert found.start == size * 6 // 8
    assert [point.zeros for point in found.points] == [found.start, round(0.9 * size)]
    assert prune_jointly(loaded, pruner, 0.0).zeros == found.start


def test_all_layers_together_are_pruned_by_any_pruner(loaded):
    size = sum(weight.numel() for weight in loaded.weights.values())

    for scope in ("global", "local"):
        assert prune_jointly(loaded, Pruner(scope=scope), 0.9).zeros == round(0.9 * size)


def test_images_are_those_of_training_and_validation_only(loaded, run):
    source = Digits(cache_dir=str(run.parent / "data"))
    data, _ = source.load()
    validation = source.splits(data)[1].images.flatten(1)
    measured = loaded.validation.images.images.flatten(1)

    assert len(measured) == 60
    for image in measured:
        assert (validation == image).all(1).any()
    assert [tuple(batch.shape) for batch in loaded.calibration] == [(128, 3, 32, 32)] * 2
