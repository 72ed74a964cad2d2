"""Activations at the end of a convolution and by themselves, against float64."""

from functools import partial
from typing import get_args

import numpy as np
import pytest
import torch
from torch.nn import functional

from lightprune.sparse.ir.elementwise import Function, FunctionName
from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.program import ActivationStep, ConvStep, Program
from lightprune.sparse.isa.register_blocks import LANES
from tests.sparse.programs import expected, network_of

PARAMETERS = {"clamp": (-1.5, 2.5), "leaky_relu": (0.3, 0.0)}
# The pixels of a map in vectors, in narrow vectors, and channels in vectors.
SIZES = [(5, 7), (2, 2), (1, 1)]
CHANNELS = 37


def after_a_convolution(function, size, relu=False):
    weight = np.eye(CHANNELS, dtype=np.float32)[:, :, None, None]
    bias = np.zeros(CHANNELS, np.float32)
    step = ConvStep("out", (INPUT,), weight, bias, relu=relu, activation=function, layers=("out",))
    return Program((step,), dict.fromkeys((INPUT, "out"), (CHANNELS, *size)), "out", flat=False)


def alone(function, size):
    step = ActivationStep("out", (INPUT,), function)
    return Program((step,), dict.fromkeys((INPUT, "out"), (CHANNELS, *size)), "out", flat=False)


@pytest.mark.parametrize("name", get_args(FunctionName))
def test_a_function_is_as_near_to_float64_as_float32_is(name):
    function = Function(name, PARAMETERS.get(name, (0.0, 0.0)))
    for size in SIZES:
        generator = torch.Generator().manual_seed(0)
        images = 20 * torch.rand(LANES + 1, CHANNELS, *size, generator=generator) - 10
        images[0, :5, 0, 0] = torch.tensor([0.0, -0.0, 1e-30, -100.0, 100.0])
        for program in (after_a_convolution(function, size), alone(function, size)):
            network, exact = network_of(program), expected(program, images)

            outputs = network(images)

            assert ((outputs - exact).abs() <= 4e-7 * (1 + exact.abs())).all()
            # Single images compute the same bits.
            assert torch.equal(network(images[:2]), outputs[:2])


@pytest.mark.parametrize("size", SIZES)
def test_a_function_of_a_relu_applies_after_it(size):
    program = after_a_convolution(Function("sigmoid"), size, relu=True)
    images = torch.randn(LANES + 1, CHANNELS, *size)

    for count in (1, LANES + 1):
        exact = expected(program, images[:count])
        torch.testing.assert_close(network_of(program)(images[:count]).double(), exact)


def test_nan_stays():
    images = torch.full((1, CHANNELS, 5, 7), float("nan"))

    for name in get_args(FunctionName):
        program = alone(Function(name, PARAMETERS.get(name, (0.0, 0.0))), (5, 7))
        assert network_of(program)(images).isnan().all(), name


@pytest.mark.parametrize("name", ["silu", "gelu_tanh", "sigmoid"])
def test_an_exponential_of_any_size_of_number_and_of_infinity_is_as_in_torch(name):
    in_torch = {"gelu_tanh": partial(functional.gelu, approximate="tanh")}
    numbers = [-float("inf"), -3e38, -1e20, -89.0, -88.4, -88.2, 88.4, 1e20, 3e38, float("inf")]
    images = torch.tensor(numbers).repeat(LANES + 1, CHANNELS, 5, 1)
    network = network_of(alone(Function(name), (5, len(numbers))))

    for inputs in (images, images[:1]):
        outputs = in_torch.get(name, getattr(functional, name, None))(inputs)
        torch.testing.assert_close(network(inputs), outputs, equal_nan=True)
