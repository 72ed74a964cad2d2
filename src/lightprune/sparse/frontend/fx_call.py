"""One call of an operator in an exported program, and what it may refuse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx

from lightprune.errors import InputError
from lightprune.sparse.ir.ops import Pair, Shape

_SUPPORTED = (
    "supported are conv2d, linear, batch_norm (evaluation), relu, add, max_pool2d, avg_pool2d, "
    "adaptive_avg_pool2d, mean over the map, flatten, cat along channels, dropout"
)


class UnsupportedOp(Exception):  # noqa: N818
    """Why an operation cannot be taken; `Call.refusal` adds which one, and where."""


@dataclass(frozen=True)
class Call:
    """One call of an operator in the exported program.

    Attributes:
        node: The call.
        arguments: Its arguments by their names in the operator's schema, defaults included.
        values: The graph's names of the tensors computed so far.
        stored: The names in the state dict of the parameters and buffers.
        shapes: The (C, H, W) of every value of the graph so far.
    """

    node: fx.Node
    arguments: Mapping[str, Any]
    values: Mapping[fx.Node, str]
    stored: Mapping[str, str]
    shapes: Mapping[str, Shape]

    def value(self, argument: Any) -> str:
        """The name of the value that an argument is."""
        if not isinstance(argument, fx.Node) or argument not in self.values:
            raise UnsupportedOp("it reads something that is not computed from the images")
        return self.values[argument]

    def tensor(self, role: str) -> str | None:
        """The name in the state dict of the tensor that an argument is."""
        argument = self.arguments[role]
        if argument is None:
            return None
        if not isinstance(argument, fx.Node) or argument.name not in self.stored:
            raise UnsupportedOp(f"its {role} is computed, not a stored parameter")
        return self.stored[argument.name]

    def needed(self, role: str) -> str:
        """As `tensor`, for one that must be there."""
        name = self.tensor(role)
        if name is None:
            raise UnsupportedOp(f"it has no {role}")
        return name

    def pair(self, role: str, default: Pair | None = None) -> Pair:
        """A number or list of numbers as (rows, columns)."""
        numbers = self.arguments[role]
        numbers = list(numbers) if isinstance(numbers, Sequence) else [numbers]
        if not numbers and default is not None:
            return default
        return numbers[0], numbers[-1]

    def extent(self, argument: fx.Node | None = None) -> tuple[int, ...]:
        """The shape in torch of an argument, or of the result."""
        found = (argument or self.node).meta["val"]
        return tuple(found[0].shape if isinstance(found, tuple | list) else found.shape)

    def refusal(self, reason: str) -> InputError:
        """The error that names the operation and its module."""
        places = list(self.node.meta.get("nn_module_stack", {}).values())
        where = places[-1][0] if places else ""
        name = getattr(self.node.target, "__name__", str(self.node.target)).partition(".")[0]
        return InputError(f"{name} in {where or 'the network itself'}: {reason}; {_SUPPORTED}")
