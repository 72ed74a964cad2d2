"""The program IR: steps on named values, with their weights; what the passes rewrite."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lightprune.sparse.ir.elementwise import Function
from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.listing import dims, listing
from lightprune.sparse.ir.ops import Padding, Pair, Shape

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class _Step:
    """The computation of one value: its name, and those of the values that it reads."""

    value: str
    inputs: tuple[str, ...]

    @property
    def input(self) -> str:
        return self.inputs[0]


@dataclass(frozen=True, eq=False)
class ConvStep(_Step):
    """value = activation?(relu?(conv(input) + bias + residual?)).

    Output (y, x) reads the input at (y * stride - top + i * dilation, x * stride - left + j *
    dilation) for tap (i, j); outside of the map the input is 0. Padding may be negative: then
    rows or columns at that side are never read.

    Attributes:
        inputs: What it convolves, and the residual if it has one.
        weight: (O, C / groups, kh, kw), contiguous.
        bias: (O,), or (O, H, W) where it differs between output pixels.
        padding: ((top, bottom), (left, right)), such that the windows end exactly at the last one;
            the other pairs are (rows, columns).
        groups: 1, or the number of groups; O if the convolution is depthwise.
        layers: The names of the modules it comes from, the convolution or linear layer first.
    """

    weight: Array
    bias: Array
    stride: Pair = (1, 1)
    padding: Padding = ((0, 0), (0, 0))
    dilation: Pair = (1, 1)
    groups: int = 1
    relu: bool = False
    activation: Function | None = None
    layers: tuple[str, ...] = ()

    @property
    def residual(self) -> str | None:
        """The name of a value of the same shape that is added before the ReLU, or None."""
        return self.inputs[1] if len(self.inputs) > 1 else None


@dataclass(frozen=True, eq=False)
class AddStep(_Step):
    """value = relu?(sum of inputs + bias?): what is not fused into a convolution.

    Attributes:
        inputs: What it adds, of one shape: two values; one (a ReLU, or a map plus a constant); or
            none (then the value is the constant `bias`).
        bias: (C,), (C, H, W) or None.
    """

    bias: Array | None
    relu: bool


@dataclass(frozen=True, eq=False)
class ActivationStep(_Step):
    """value = the function of every number of the input: what no convolution does at its end."""

    function: Function


@dataclass(frozen=True, eq=False)
class MultiplyStep(_Step):
    """value = the product of the inputs; the second may be (C, 1, 1), one number a channel."""


@dataclass(frozen=True, eq=False)
class PoolStep(_Step):
    """value = the maximum or the average over windows of the input; pairs are (rows, columns).

    Attributes:
        kind: "max" (padding never wins) or "avg".
        padding: On both sides.
        count_include_pad: Average only: whether padding under the window counts in the divisor.
        ceil_mode: Whether a last window may reach beyond the padding.
        dilation: Max only: from one row, or column, of a window to the next.
    """

    kind: Literal["max", "avg"]
    kernel: Pair
    stride: Pair
    padding: Pair
    count_include_pad: bool
    ceil_mode: bool = False
    dilation: Pair = (1, 1)


@dataclass(frozen=True, eq=False)
class ConcatStep(_Step):
    """value = the inputs concatenated along the channels."""


@dataclass(frozen=True, eq=False)
class FlattenStep(_Step):
    """value = the input (C, H, W) as (C * H * W, 1, 1): the same numbers in the same order."""


@dataclass(frozen=True, eq=False)
class GatherStep(_Step):
    """value = pixels of the input, or 0.

    Attributes:
        indices: int32 (H', W'): the pixel that each of the value's copies, -1 for 0. They count
            the pixels of `planes` channels of the input, one after the other.
        planes: Channels of the input that become one.
    """

    indices: NDArray[np.int32]
    planes: int = 1


def grid_indices(
    rows: NDArray[np.integer[Any]], columns: NDArray[np.integer[Any]], width: int
) -> NDArray[np.int32]:
    """The indices of a gather of whole rows and columns of maps so wide; -1 is for zeros."""
    inside = (rows[:, None] >= 0) & (columns >= 0)
    return np.where(inside, rows[:, None] * width + columns, -1).astype(np.int32)


Step = (
    ConvStep
    | AddStep
    | ActivationStep
    | MultiplyStep
    | PoolStep
    | ConcatStep
    | FlattenStep
    | GatherStep
)


@dataclass(frozen=True, eq=False)
class Program:
    """A network as steps with their weights: what the passes rewrite and codegen compiles.

    Attributes:
        steps: In order of execution; each reads `graph.INPUT` or values of earlier steps.
        shapes: (C, H, W) of the input and of every step's value, by name.
        flat: Whether the output is (N, C) rather than (N, C, H, W).
    """

    steps: tuple[Step, ...]
    shapes: Mapping[str, Shape]
    output: str
    flat: bool

    def with_steps(self, steps: Iterable[Step], output: str | None = None) -> "Program":
        """The program with other steps, and the shapes of only their values and the input."""
        steps = tuple(steps)
        shapes = {name: self.shapes[name] for name in (INPUT, *(step.value for step in steps))}
        return Program(steps, shapes, output or self.output, self.flat)

    def macs(self, step: Step) -> int:
        """Multiplications of the non-zero weights for one image, as `pruning.cost` counts them.

        Every weight at every output position, padding included; 0 for what is no convolution.
        """
        if not isinstance(step, ConvStep):
            return 0
        _, rows, columns = self.shapes[step.value]
        return int(np.count_nonzero(step.weight)) * rows * columns

    @property
    def sizes(self) -> dict[str, int]:
        """How many steps, channels of values and multiplications there are."""
        return {
            "steps": len(self.steps),
            "channels": sum(channels for channels, _, _ in self.shapes.values()),
            "multiplications": sum(map(self.macs, self.steps)),
        }

    def __str__(self) -> str:
        sizes = ", ".join(f"{count:,} {what}" for what, count in self.sizes.items())
        columns = {INPUT: (), **{step.value: _columns(step) for step in self.steps}}
        rows = [(name, dims(self.shapes[name]), *columns[name]) for name in columns]
        return listing(f"program: {sizes}; output {self.output}", rows)


def _columns(step: Step) -> tuple[str, ...]:
    notes: list[str] = []
    if isinstance(step, ConvStep):
        notes = [dims(step.weight.shape[2:])]
        notes += [f"stride {dims(step.stride)}"] * (step.stride != (1, 1))
        notes += [f"padding {step.padding}"] * (step.padding != ((0, 0), (0, 0)))
        notes += [f"dilation {dims(step.dilation)}"] * (step.dilation != (1, 1))
        notes += [f"{step.groups} groups"] * (step.groups != 1)
        nonzero, total = np.count_nonzero(step.weight), step.weight.size
        notes += [f"{nonzero:,} of {total:,} {step.weight.dtype} weights"]
        notes += [f"residual {step.residual}"] * (step.residual is not None)
    elif isinstance(step, PoolStep):
        notes = [step.kind, dims(step.kernel), f"stride {dims(step.stride)}"]
        notes += [f"padding {dims(step.padding)}"] * (step.padding != (0, 0))
    elif isinstance(step, AddStep) and step.bias is not None:
        notes = [f"bias {dims(step.bias.shape)}"]
    notes += ["relu"] * getattr(step, "relu", False)
    function = getattr(step, "activation", None) or getattr(step, "function", None)
    notes += [function.name] if function else []
    inputs = step.inputs[:1] if isinstance(step, ConvStep) else step.inputs
    call = f"{type(step).__name__.removesuffix('Step').lower()}({', '.join(inputs)})"
    return call, ", ".join(notes), "/".join(getattr(step, "layers", ()))
