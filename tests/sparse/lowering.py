"""Lowers networks, and checks that the programs compute the same."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from lightprune.sparse.frontend.trace import trace
from lightprune.sparse.passes.lower import lower
from tests.sparse.nets import randomize_batch_norms
from tests.sparse.reference import run


def arrays(network):
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def check_lowering(network, graph, images=None):
    """Lowers a network in float64, compares it with torch, and returns the program."""
    if images is None:
        images = torch.randn(3, *graph.input_shape, dtype=torch.float64)
    program = lower(graph, arrays(network), np.float64)
    with torch.no_grad():
        expected = network(images.clone())
    actual = run(program, images)

    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 1e-9 * expected.abs().max().clamp(min=1e-3)
    return program


def lowered(network, shape):
    """The checked program of a network in float64 with random batch norm statistics."""
    network = randomize_batch_norms(network.double().eval(), torch.Generator().manual_seed(0))
    return check_lowering(network, trace(network, shape))


def kinds(program):
    return [type(step) for step in program.steps]


class Residual(nn.Module):
    """A stem, a block with a skip connection, and a classifier."""

    def __init__(self, block, after=F.relu):
        super().__init__()
        self.stem, self.block, self.after = nn.Conv2d(2, 4, 3, padding=1), block, after
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = self.after(self.block(x) + x)
        return self.fc(x.mean((2, 3)))


def block():
    return nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
    )
