from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn
from torch.nn import functional as F
from torchvision.models import resnet18, vgg16_bn

from lightprune.errors import InputError
from lightprune.pruning.cost.cost_report import cost_report
from lightprune.pruning.criteria import Magnitude
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets
from lightprune.sparse.frontend.trace import trace
from lightprune.sparse.ir.program import (
    ConcatStep,
    ConvStep,
    FlattenStep,
    PoolStep,
)
from lightprune.sparse.passes.lower import lower, stages
from tests.sparse.lowering import Residual, arrays, block, check_lowering, kinds, lowered
from tests.sparse.nets import densities, networks, pruned, randomize_batch_norms


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@settings(max_examples=12)
@given(networks(), densities(10))
def test_a_program_computes_what_its_network_does(case, prunings):
    network, shape = case
    graph = trace(network, shape)
    for pruning in prunings:
        check_lowering_or_constant(pruned(network, *pruning), graph)


def check_lowering_or_constant(network, graph):
    """A network without a program has to give the same for all images."""
    try:
        program = check_lowering(network, graph)
    except InputError:
        with torch.no_grad():
            first, second = network(torch.randn(2, *graph.input_shape, dtype=torch.float64))
        assert torch.allclose(first, second, rtol=1e-12, atol=1e-12)
        return
    for step in program.steps:
        assert not isinstance(step, ConvStep) or program.macs(step) > 0


@pytest.fixture(scope="module")
def resnet():
    """ResNet18 with 2 % of its convolutions' weights, by magnitude over all."""
    torch.manual_seed(0)
    network = resnet18(num_classes=10).eval()
    weights = Targets().find(network)
    masks = Pruner(Magnitude(), scope="global").prune(weights, Masks.dense(weights), 0.98)
    with torch.no_grad():
        masks.apply_(weights)
    return randomize_batch_norms(network.double(), torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def graph(resnet):
    return trace(resnet, (3, 32, 32))


@pytest.fixture(scope="module")
def program(resnet, graph):
    return check_lowering(resnet, graph)


def test_resnet18_is_convolutions_and_one_pooling(program):
    assert sorted({kind.__name__ for kind in kinds(program)}) == ["ConvStep", "PoolStep"]
    assert kinds(program).count(PoolStep) == 1
    assert sum(step.residual is not None for step in program.steps if hasattr(step, "weight")) == 8


def test_resnet18_loses_its_unreachable_taps_and_nothing_else_before_channels_go(resnet, graph):
    whole = dict(islice(stages(graph, arrays(resnet)), 4))["fold_batch_norms"]
    layers = cost_report(resnet, Targets().find(resnet), torch.zeros(1, 3, 32, 32).double()).layers
    convolutions = [step for step in whole.steps if isinstance(step, ConvStep)][:-1]
    kernels = {step.layers[0]: step.weight.shape[2:] for step in convolutions}

    assert {f"{s.layers[0]}.weight": whole.macs(s) for s in convolutions} == {
        name: cost.macs_live for name, cost in layers.items()
    }
    assert kernels["layer4.0.conv1"] == (2, 2)
    assert kernels["layer4.0.conv2"] == kernels["layer4.1.conv2"] == (1, 1)
    assert kernels["layer3.1.conv2"] == (3, 3)


def test_resnet18_loses_channels_that_do_not_matter(program, graph):
    whole = sum(c for c, _, _ in graph.shapes.values())

    assert sum(c for c, _, _ in program.shapes.values()) < whole / 2
    assert program.shapes[program.output] == (10, 1, 1)


def test_arrays_are_contiguous_and_of_the_dtype(resnet, graph):
    program = lower(graph, arrays(resnet))
    tensors = [a for s in program.steps if isinstance(s, ConvStep) for a in (s.weight, s.bias)]

    assert all(array.dtype == np.float32 and array.flags.c_contiguous for array in tensors)


def test_lowering_leaves_the_state_dict_as_it_is(resnet, graph):
    before = {name: array.copy() for name, array in arrays(resnet).items()}
    lower(graph, arrays(resnet))

    assert all(np.array_equal(before[name], array) for name, array in arrays(resnet).items())


def test_a_block_becomes_two_convolutions():
    program = lowered(Residual(block()), (2, 5, 5))

    assert kinds(program) == [ConvStep, ConvStep, ConvStep, PoolStep, ConvStep]
    assert program.steps[2].residual == program.steps[0].value
    assert program.steps[2].relu
    assert program.steps[2].layers == ("block.3", "block.4")


def test_a_pre_activation_block_keeps_its_first_norm_as_a_scale():
    before = nn.Sequential(
        nn.BatchNorm2d(4), nn.ReLU(), *block()[:3], nn.Conv2d(4, 4, 3, padding=1)
    )
    program = lowered(Residual(before, after=lambda x: x), (2, 5, 5))
    scale = program.steps[1]

    assert kinds(program) == [ConvStep] * 4 + [PoolStep, ConvStep]
    assert scale.groups == 4
    assert scale.weight.shape == (4, 1, 1, 1)
    assert scale.relu
    assert program.steps[3].residual == program.steps[0].value


def test_a_module_used_twice_is_folded_with_each_norm():
    layer = nn.Conv2d(2, 2, 3, padding=1)
    program = lowered(nn.Sequential(layer, nn.BatchNorm2d(2), layer, nn.BatchNorm2d(2)), (2, 4, 4))

    assert kinds(program) == [ConvStep, ConvStep]
    assert [step.layers for step in program.steps] == [("0", "1"), ("0", "3")]


class Dense(nn.Module):
    """Layers that each read everything before them, as DenseNet's do."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, 3, 3, padding=1))
            for c in (2, 5, 8)
        )
        self.fc = nn.Linear(11, 3)

    def forward(self, x):
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def test_a_densely_connected_network_drops_what_no_layer_reads():
    network = Dense()
    network.fc.weight.data[:, 5:] = 0
    program = lowered(network, (2, 4, 4))

    assert kinds(program) == [ConvStep, ConvStep, ConcatStep, PoolStep, ConvStep]
    assert program.shapes[program.steps[2].value] == (5, 4, 4)


def test_grouped_convolutions_stay_grouped():
    network = nn.Sequential(nn.Conv2d(2, 4, 1), nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6))
    program = lowered(network, (2, 4, 4))

    assert [step.groups for step in program.steps] == [1, 2]


def test_a_flattened_map_that_is_not_classified_at_once_stays_flat():
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 2))

    assert FlattenStep in kinds(lowered(network, (2, 2, 2)))


def test_the_classifier_of_vgg16_shrinks_to_the_map_before_adaptive_pooling():
    with torch.device("meta"):
        network = vgg16_bn(init_weights=False)
    network.features = nn.Sequential(nn.Conv2d(3, 512, 3, padding=1), *network.features[-2:])
    for index, layer in {0: (25_088, 16), 3: (16, 16), 6: (16, 10)}.items():
        network.classifier[index] = nn.Linear(*layer)
    one_pixel, several = lowered(network, (3, 2, 2)), lowered(network, (3, 8, 8))

    assert [kinds(program) for program in (one_pixel, several)] == [
        [ConvStep, PoolStep, *[ConvStep] * 3]
    ] * 2
    assert one_pixel.steps[2].weight.shape == (16, 512, 1, 1)
    # From 4x4 to 7x7: the windows overlap, and the real map is all that is multiplied.
    assert several.steps[2].weight.shape == (16, 512, 4, 4)


@pytest.mark.parametrize("last", [nn.Conv2d(2, 2, 1), nn.Identity()], ids=["read", "output"])
def test_uneven_pooling_before_anything_else_is_refused(last):
    network = nn.Sequential(nn.Conv2d(2, 2, 1), nn.AdaptiveAvgPool2d(3), last).eval()

    with pytest.raises(InputError, match="only where a linear layer reads"):
        lower(trace(network, (2, 4, 4)), arrays(network))


@pytest.mark.parametrize(
    ("name", "tensor", "named"),
    [
        ("0.weight", None, "no tensor '0.weight'"),
        ("0.weight", np.zeros((4, 2, 1, 2), np.float32), "of shape"),
        ("0.weight", np.zeros((4, 2, 3, 3), np.int64), "floating point"),
        ("0.bias", np.full(4, np.nan, np.float32), "not finite"),
        ("1.running_var", np.full(4, -1, np.float32), "not positive"),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(name, tensor, named):
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4)).eval()
    state = {n: t for n, t in (arrays(network) | {name: tensor}).items() if t is not None}

    with pytest.raises(InputError, match=named):
        lower(trace(network, (2, 4, 4)), state)
