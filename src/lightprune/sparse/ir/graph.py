"""The graph IR: a traced network's operations and the shape of every value, without weights."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from types import MappingProxyType

from lightprune.errors import InputError
from lightprune.sparse.ir.listing import dims, listing
from lightprune.sparse.ir.ops import Op, Shape

# The name of the value that a graph starts from.
INPUT = "input"
# A larger shape in a file is damage, and would fill the memory before anything else fails.
_LARGEST_EXTENT = 2**24
_MOST_ELEMENTS = 2**28


@dataclass(frozen=True)
class Graph:
    """A network: ops in an order in which they can run.

    Attributes:
        ops: Each reads the value `INPUT` or the values of earlier ops.
        input_shape: (C, H, W) of one image.
        flat: Whether the output is (N, C) rather than (N, C, H, W).
        shapes: The (C, H, W) of every value by name, `INPUT` included; computed.

    Raises:
        InputError: The ops do not fit together.
    """

    ops: tuple[Op, ...]
    input_shape: Shape
    output: str
    flat: bool
    shapes: Mapping[str, Shape] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        shapes = {INPUT: self.input_shape}
        try:
            _check_shape(self.input_shape)
        except ValueError as error:
            raise InputError(f"sparse graph: input of shape {self.input_shape}") from error
        for op in self.ops:
            where = f"sparse graph: value {op.name!r}"
            if not op.name.isidentifier() or op.name in shapes:
                raise InputError(f"{where} is named twice, or not by an identifier")
            if unknown := [name for name in op.inputs if name not in shapes]:
                raise InputError(f"{where} reads {unknown[0]!r}, which no earlier op computes")
            try:
                shape = op.shape(*(shapes[name] for name in op.inputs))
                _check_shape(shape)
            except (TypeError, ValueError) as error:
                raise InputError(f"{where} does not fit its inputs: {error}") from error
            shapes[op.name] = shape
        if self.output == INPUT or self.output not in shapes:
            raise InputError(f"sparse graph: no op computes the output {self.output!r}")
        if self.flat and shapes[self.output][1:] != (1, 1):
            raise InputError(f"sparse graph: the output {self.output!r} is not flat")
        object.__setattr__(self, "shapes", MappingProxyType(shapes))

    def __str__(self) -> str:
        columns = {INPUT: (), **{op.name: _columns(op) for op in self.ops}}
        rows = [(name, dims(self.shapes[name]), *columns[name]) for name in columns]
        return listing(f"graph: {len(self.ops)} ops; output {self.output}", rows)


def _columns(op: Op) -> tuple[str, ...]:
    settings = [name for name in op.__struct_fields__ if name not in ("name", "inputs")]
    call = f"{op.__struct_config__.tag}({', '.join(op.inputs)})"
    return call, " ".join(f"{name}={getattr(op, name)}" for name in settings)


def _check_shape(shape: Shape) -> None:
    if min(shape) < 1 or max(shape) > _LARGEST_EXTENT or prod(shape) > _MOST_ELEMENTS:
        raise ValueError(f"its shape would be {shape}")
