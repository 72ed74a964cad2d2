"""Whatever a batch norm holds, the folded network is as near to float64 as eager float32 is."""

import copy
from functools import cache

import numpy as np
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from lightprune import load, sparse
from lightprune.export.sparse_file import StoredNetwork, write_sparse
from lightprune.models.spec import ModelSpec
from lightprune.sparse.frontend.trace import trace
from lightprune.sparse.ir.serialize import to_json
from lightprune.sparse.runtime.network import SparseNetwork
from tests.sparse.lowering import arrays

SHAPE, WIDTH = (3, 6, 5), 40
# What eager float32 may be nearer by: a quarter of its error, and one rounding of the result.
TIMES, ROUNDING = 1.25, 2**-24


class Residual(nn.Module):
    """Convolutions with batch norm, a skip connection, and a classifier of the mean."""

    def __init__(self, eps):
        super().__init__()
        inputs = (3, WIDTH, WIDTH)
        self.convs = nn.ModuleList(nn.Conv2d(n, WIDTH, 3, 1, 1, bias=False) for n in inputs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(WIDTH, eps) for _ in inputs)
        self.head = nn.Linear(WIDTH, 100)

    def forward(self, images):
        first, second, third = zip(self.convs, self.norms, strict=True)
        skipped = normalized(images, *first).relu()
        maps = normalized(normalized(skipped, *second).relu(), *third)
        return self.head((maps + skipped).relu().mean((2, 3)))


def normalized(maps, conv, norm):
    return norm(conv(maps))


def spans(low, high):
    """A range of decimal exponents between `low` and `high`."""
    return st.tuples(*[st.floats(low, high)] * 2).map(sorted)


STATISTICS = st.fixed_dictionaries(
    {
        "variance": spans(-12, 8),
        "scale": spans(-8, 1),
        "mean": spans(-3, 5),
        "shift": spans(-3, 4),
        "weight": spans(-3, 3),
    }
)

# Each sum is far smaller than what is added to it.
LARGE_SHIFTS = {
    "variance": [-9, 1],
    "scale": [-8, -3],
    "mean": [-3, -2],
    "shift": [-1, 3],
    "weight": [0, 0],
}


def draw_statistics(network, drawn, density, seed):
    """Gives every channel a power of ten of each kind, and prunes, in place."""
    generator = np.random.default_rng(seed)

    def powers(kind, signed=True):
        values = 10 ** generator.uniform(*drawn[kind], WIDTH)
        signs = generator.choice([-1, 1], WIDTH) if signed else 1
        return torch.from_numpy(values * signs).float()

    with torch.no_grad():
        for conv in network.convs:
            conv.weight *= powers("weight")[:, None, None, None]
            conv.weight *= torch.from_numpy(generator.random(conv.weight.shape) < density)
        for norm in network.norms:
            norm.running_var.copy_(powers("variance", signed=False))
            norm.running_mean.copy_(powers("mean"))
            norm.weight.copy_(powers("scale"))
            norm.bias.copy_(powers("shift"))
    return network


def relative_error(logits, exact):
    return (logits - exact).norm() / exact.norm()


@cache
def traced(eps):
    return trace(Residual(eps), SHAPE)


def drawn_network(eps, drawn, density, seed):
    torch.manual_seed(seed)
    return draw_statistics(Residual(eps).eval(), drawn, density, seed)


def check_errors(runtime, network, images):
    """Compares both with float64: the runtime may be as far from it as eager float32 is."""
    with torch.no_grad():
        exact = copy.deepcopy(network).double()(images.double())
        expected = relative_error(network(images), exact)
    assert expected.isfinite()
    assert relative_error(runtime(images), exact) <= TIMES * expected + ROUNDING


def images_for(count):
    return torch.randn(count, *SHAPE, generator=torch.Generator().manual_seed(count))


@settings(max_examples=8)
@given(st.sampled_from([1e-5, 1e-3]), STATISTICS, st.sampled_from([0.1, 1.0]), st.integers(0, 99))
@example(1e-5, LARGE_SHIFTS, 1.0, 0)
def test_no_statistics_of_a_batch_norm_cost_accuracy(eps, drawn, density, seed):
    network = drawn_network(eps, drawn, density, seed)

    runtime = SparseNetwork(traced(eps), arrays(network), threads=1)

    check_errors(runtime, network, images_for(20))


def test_a_compiled_module_and_an_exported_file_compute_the_same_bits(tmp_path):
    network, images = drawn_network(1e-5, LARGE_SHIFTS, 0.1, 1), images_for(20)
    file = tmp_path / "model.sparse.safetensors"
    spec = ModelSpec("tests.Residual", {}, SHAPE)
    write_sparse(file, StoredNetwork(spec, to_json(traced(1e-5)), arrays(network)))

    compiled = sparse.compile(network, images[:1], min_speedup=0)

    check_errors(compiled, network, images)
    assert torch.equal(compiled(images), load(file)(images))
