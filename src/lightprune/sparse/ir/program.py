"""What the sparse runtime executes: fused steps on named values, with their weights and shapes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.ir.ops import Padding, Pair, Shape

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class ConvStep:
    """value = relu?(conv(input) + bias + residual?).

    Output (y, x) reads the input at (y * stride - top + i * dilation, x * stride - left + j *
    dilation) for tap (i, j); outside of the map the input is 0. Padding may be negative: then
    rows or columns at that side are never read.

    Attributes:
        value: The name of the value it computes.
        input: The name of the value it convolves.
        weight: (O, C / groups, kh, kw), contiguous.
        bias: (O,), or (O, H, W) where it depends on the position.
        stride: (rows, columns).
        padding: ((top, bottom), (left, right)), such that the windows end exactly at the last one.
        dilation: (rows, columns).
        groups: 1, or the number of groups; O where every channel is convolved with itself.
        residual: The name of a value of the same shape that is added before the ReLU, or None.
        relu: Whether max(., 0) comes last.
        layers: The modules it was made from, by name, the convolution or linear layer first.
    """

    value: str
    input: str
    weight: Array
    bias: Array
    stride: Pair
    padding: Padding
    dilation: Pair
    groups: int
    residual: str | None
    relu: bool
    layers: tuple[str, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the values it reads."""
        return (self.input,) if self.residual is None else (self.input, self.residual)


@dataclass(frozen=True, eq=False)
class AddStep:
    """value = relu?(sum of inputs + bias?): what no convolution could take in.

    Attributes:
        value: The name of the value it computes.
        inputs: The values it adds, of one shape: two; one (a ReLU, or a map plus a constant); or
            none (then the value is the constant `bias`).
        bias: (C,), (C, H, W) or None.
        relu: Whether max(., 0) comes last.
    """

    value: str
    inputs: tuple[str, ...]
    bias: Array | None
    relu: bool


@dataclass(frozen=True, eq=False)
class PoolStep:
    """value = the maximum or the average over windows of the input.

    Attributes:
        value: The name of the value it computes.
        input: The name of the value it reads.
        kind: "max" (padding never wins) or "avg".
        kernel: (rows, columns).
        stride: (rows, columns).
        padding: (rows, columns), before and after.
        count_include_pad: Average only: the divisor is rows * columns everywhere, not the number
            of inputs under the window.
    """

    value: str
    input: str
    kind: Literal["max", "avg"]
    kernel: Pair
    stride: Pair
    padding: Pair
    count_include_pad: bool

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the values it reads."""
        return (self.input,)


@dataclass(frozen=True, eq=False)
class ConcatStep:
    """value = the inputs one behind the other along the channels."""

    value: str
    inputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class FlattenStep:
    """value = the input (C, H, W) as (C * H * W, 1, 1): the same numbers in the same order."""

    value: str
    input: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the values it reads."""
        return (self.input,)


Step = ConvStep | AddStep | PoolStep | ConcatStep | FlattenStep


@dataclass(frozen=True, eq=False)
class Program:
    """A simplified network.

    Attributes:
        steps: In order of execution; each reads `graph.INPUT` or values of earlier steps.
        shapes: (C, H, W) of every value that is left, the input included.
        output: The name of the value that is the network's output.
        flat: Whether the output is (N, C) rather than (N, C, H, W).
    """

    steps: tuple[Step, ...]
    shapes: Mapping[str, Shape]
    output: str
    flat: bool

    def macs(self, step: ConvStep) -> int:
        """Multiplications of the non-zero weights for one image, as `pruning.cost` counts them.

        Every weight at every output position, padding included.
        """
        _, rows, columns = self.shapes[step.value]
        return int(np.count_nonzero(step.weight)) * rows * columns
