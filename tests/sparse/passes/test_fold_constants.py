import tracemalloc

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lightprune.errors import InputError
from lightprune.sparse.frontend.trace import trace
from lightprune.sparse.ir.program import AddStep, ConvStep, PoolStep
from lightprune.sparse.passes.lower import lower
from tests.sparse.lowering import Residual, arrays, block, kinds, lowered


def test_a_silent_branch_becomes_a_constant():
    network = Residual(block())
    network.block[0].weight.data.zero_()
    program = lowered(network, (2, 5, 5))
    constant = program.steps[1]

    assert kinds(program) == [ConvStep, AddStep, PoolStep, ConvStep]
    assert constant.inputs == (program.steps[0].value,)
    # The second convolution saw a constant map, and padding around it.
    assert constant.bias.shape == (4, 5, 5)


def test_a_silent_last_convolution_becomes_a_constant_without_a_map():
    network = Residual(block())
    network.block[3].weight.data.zero_()

    assert lowered(network, (2, 5, 5)).steps[1].bias.shape == (4,)


def test_a_silent_branch_beside_a_convolution_joins_its_bias():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.long, self.short = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(2, 4, 1)

        def forward(self, x):
            return F.relu(self.short(x) + self.long(x))

    network = Net()
    network.long.weight.data.zero_()

    assert kinds(lowered(network, (2, 5, 5))) == [ConvStep]


def test_channels_that_a_relu_silences_are_constant():
    network = nn.Sequential(
        nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1)
    )
    network[2].weight.data[1].abs_().neg_()
    network[2].bias.data[1] = -0.5
    program = lowered(network, (2, 4, 4))

    assert program.shapes[program.steps[1].value] == (3, 4, 4)


def test_a_network_whose_output_does_not_depend_on_the_image_is_refused():
    network = Residual(block()).eval()
    network.stem.weight.data.zero_()

    with pytest.raises(InputError, match="same for every image"):
        lower(trace(network, (2, 5, 5)), arrays(network))


def test_constant_channels_meet_others_of_another_extent():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.flat, self.padded = nn.Conv2d(2, 3, 1), nn.Conv2d(3, 3, 3, padding=1)
            self.last, self.fc = nn.Conv2d(8, 4, 3, padding=1), nn.Linear(64, 3)

        def forward(self, x):
            flat = self.flat(x)
            x = torch.cat([flat, F.avg_pool2d(self.padded(flat), 3, 1, 1), x], 1)
            return self.fc(F.max_pool2d(F.relu(self.last(x)), 2).flatten(1))

    network = Net()
    network.flat.weight.data.zero_()
    program = lowered(network, (2, 8, 8))

    assert program.shapes[program.steps[0].value] == (4, 8, 8)


def test_no_map_is_held_for_what_is_not_constant():
    layers = [nn.Conv2d(2 if i == 0 else 16, 16, 3, padding=1) for i in range(4)]
    network = nn.Sequential(*layers).eval()
    graph, state = trace(network, (2, 256, 256)), arrays(network)
    tracemalloc.start()
    lower(graph, state, np.float64)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 16 * 256 * 256
