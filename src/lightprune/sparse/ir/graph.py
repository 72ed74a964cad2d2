"""A traced network as data: its nodes, the shape of every value, and nothing that runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from types import MappingProxyType

from lightprune.errors import InputError
from lightprune.sparse.ir.ops import Op, Shape

# The name of the value that a graph starts from.
INPUT = "input"
# What a description may ask for: more is damage, and would fill the memory before it is noticed.
_LARGEST_EXTENT = 2**24
_LARGEST_VALUE = 2**28


@dataclass(frozen=True)
class Graph:
    """A network: nodes in an order in which they can run.

    Attributes:
        nodes: The operations; each reads the value `INPUT` or earlier nodes.
        input_shape: (C, H, W) of one image.
        output: The name of the value that is the network's output.
        flat: Whether the output is (N, C) rather than (N, C, H, W).
        shapes: The (C, H, W) of every value by name, `INPUT` included; computed.

    Raises:
        InputError: The nodes do not fit together.
    """

    nodes: tuple[Op, ...]
    input_shape: Shape
    output: str
    flat: bool
    shapes: Mapping[str, Shape] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Computes the shapes, checking every node against those before it."""
        shapes = {INPUT: self.input_shape}
        try:
            _check_extent(self.input_shape)
        except ValueError as error:
            raise InputError(f"sparse graph: input of shape {self.input_shape}") from error
        for node in self.nodes:
            where = f"sparse graph: value {node.name!r}"
            if not node.name.isidentifier() or node.name in shapes:
                raise InputError(f"{where} is named twice, or not by an identifier")
            if unknown := [name for name in node.inputs if name not in shapes]:
                raise InputError(f"{where} reads {unknown[0]!r}, which no earlier node computes")
            try:
                shape = node.shape(*(shapes[name] for name in node.inputs))
                _check_extent(shape)
            except (TypeError, ValueError) as error:
                raise InputError(f"{where} does not fit its inputs: {error}") from error
            shapes[node.name] = shape
        if self.output == INPUT or self.output not in shapes:
            raise InputError(f"sparse graph: no node computes the output {self.output!r}")
        if self.flat and shapes[self.output][1:] != (1, 1):
            raise InputError(f"sparse graph: the output {self.output!r} is not flat")
        object.__setattr__(self, "shapes", MappingProxyType(shapes))


def _check_extent(shape: Shape) -> None:
    """Raises ValueError for a shape that no network has."""
    if min(shape) < 1 or max(shape) > _LARGEST_EXTENT or prod(shape) > _LARGEST_VALUE:
        raise ValueError(f"its shape would be {shape}")
