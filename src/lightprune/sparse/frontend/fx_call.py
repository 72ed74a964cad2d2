"""One call of an ATen operator in an exported program, with typed access to its arguments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx

from lightprune.errors import InputError
from lightprune.sparse.ir.ops import Pair, Shape

_SUPPORTED = (
    "supported are conv2d, conv_transpose2d, linear, batch_norm (evaluation), activations from "
    "relu to gelu, add, mul, max_pool2d, avg_pool2d, adaptive_avg_pool2d, mean over the map, "
    "flatten, nearest upsampling, padding, pixel_shuffle, slices, concatenated or shuffled "
    "channels, dropout"
)


class UnsupportedOp(Exception):  # noqa: N818
    """Why an operator cannot be converted; `Call.error` adds which one, and where."""


@dataclass(frozen=True)
class FxCall:
    """One call of an operator in the exported program.

    Attributes:
        arguments: By their names in the operator's schema, defaults included.
        values: The names in the graph IR of the tensors computed so far.
        state_names: The names in the state dict of the placeholders for parameters and buffers.
        shapes: The (C, H, W) of every value of the graph IR so far.
    """

    node: fx.Node
    arguments: Mapping[str, Any]
    values: Mapping[fx.Node, str]
    state_names: Mapping[str, str]
    shapes: Mapping[str, Shape]

    def value(self, argument: Any) -> str:
        """The name of the value that an argument is."""
        if not isinstance(argument, fx.Node) or argument not in self.values:
            raise UnsupportedOp("it reads something that is not computed from the images")
        return self.values[argument]

    def tensor(self, name: str) -> str | None:
        """The name in the state dict of an argument, None if that is None."""
        argument = self.arguments[name]
        if argument is None:
            return None
        if not isinstance(argument, fx.Node) or argument.name not in self.state_names:
            raise UnsupportedOp(f"its {name} is computed, not a stored parameter")
        return self.state_names[argument.name]

    def required_tensor(self, name: str) -> str:
        """As `tensor`, for an argument that must not be None."""
        tensor = self.tensor(name)
        if tensor is None:
            raise UnsupportedOp(f"it has no {name}")
        return tensor

    def pair(self, name: str, default: Pair | None = None) -> Pair:
        """An argument that is a number or a list of numbers as (rows, columns)."""
        numbers = self.arguments[name]
        numbers = list(numbers) if isinstance(numbers, Sequence) else [numbers]
        if not numbers and default is not None:
            return default
        dimensions = len(self.torch_shape()) - 2
        if not len(numbers) <= dimensions <= 2:
            raise UnsupportedOp("its input has no batch")
        if dimensions == 1:
            return int("padding" not in name), numbers[-1]
        return numbers[0], numbers[-1]

    def torch_shape(self, argument: fx.Node | None = None) -> tuple[int, ...]:
        """The shape in torch, batch included, of an argument or of the result."""
        example = (argument or self.node).meta["val"]
        return tuple(example[0].shape if isinstance(example, tuple | list) else example.shape)

    def error(self, reason: str) -> InputError:
        """The error that names the operator and its module."""
        where = module_name(self.node)
        name = getattr(self.node.target, "__name__", str(self.node.target)).partition(".")[0]
        return InputError(f"{name} in {where or 'the network itself'}: {reason}; {_SUPPORTED}")


def map_shape(sizes: Sequence[int]) -> Shape | None:
    """The sizes of an image's value in torch, (C,), (C, W) or (C, H, W), as those of a map."""
    match sizes:
        case [channels]:
            return (channels, 1, 1)
        case [channels, columns]:
            return (channels, 1, columns)
        case [channels, rows, columns]:
            return (channels, rows, columns)
    return None


def module_name(node: fx.Node) -> str:
    """The name of the module that calls an operator, empty for the network itself."""
    modules = list(node.meta.get("nn_module_stack", {}).values())
    return str(modules[-1][0]) if modules else ""
