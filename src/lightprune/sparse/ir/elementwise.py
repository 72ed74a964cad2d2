"""Operations on each number of a value by itself, and the functions that activations compute."""

from collections.abc import Callable
from typing import Literal

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor

from lightprune.sparse.ir.ops import Op, Shape

FunctionName = Literal[
    "clamp", "leaky_relu", "hardsigmoid", "hardswish", "sigmoid", "silu", "gelu", "gelu_tanh"
]


class Function(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A function of one number.

    Attributes:
        parameters: The bounds of a clamp, the slope below 0 of a leaky ReLU; not used by others.
    """

    name: FunctionName
    parameters: tuple[float, float] = (0.0, 0.0)

    def __call__(self, values: Tensor) -> Tensor:
        """The function of every value, in the type of the values."""
        functions: dict[FunctionName, Callable[[Tensor], Tensor]] = {
            "clamp": lambda x: x.clamp(*self.parameters),
            "leaky_relu": lambda x: F.leaky_relu(x, self.parameters[0]),
            "hardsigmoid": F.hardsigmoid,
            "hardswish": F.hardswish,
            "sigmoid": torch.sigmoid,
            "silu": F.silu,
            "gelu": F.gelu,
            "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        }
        return functions[self.name](values)


class Relu(Op, frozen=True):
    """max(x, 0)."""


class Activation(Op, frozen=True):
    """A function of every number."""

    function: Function


class Add(Op, frozen=True):
    """The sum of two values of one shape."""

    def shape(self, *shapes: Shape) -> Shape:
        """That of both inputs."""
        first, second = shapes
        if first != second:
            raise ValueError(f"{first} plus {second}")
        return first


class Multiply(Op, frozen=True):
    """The product of two values of one shape, or of a value and one number a channel."""

    def shape(self, *shapes: Shape) -> Shape:
        """That of the first; the second is of the same, or (C, 1, 1)."""
        first, second = shapes
        if second not in (first, (first[0], 1, 1)):
            raise ValueError(f"{first} times {second}")
        return first
