"""A graph as JSON and back: strict, so that damage is an error and never a wrong network."""

import json
from typing import Any

import msgspec

from lightprune.errors import InputError
from lightprune.sparse.ir.elementwise import Activation, Add, Multiply, Relu
from lightprune.sparse.ir.graph import Graph
from lightprune.sparse.ir.ops import (
    BatchNorm,
    Concat,
    Conv,
    ConvTranspose,
    Flatten,
    FullyConnected,
    Shape,
)
from lightprune.sparse.ir.pools import AdaptiveAvgPool, AvgPool, MaxPool
from lightprune.sparse.ir.selections import PixelShuffle, SelectChannels, SelectPixels

_VERSION = 1
_AnyOp = (
    Conv
    | ConvTranspose
    | FullyConnected
    | BatchNorm
    | Relu
    | Activation
    | Add
    | Multiply
    | MaxPool
    | AvgPool
    | AdaptiveAvgPool
    | SelectChannels
    | SelectPixels
    | PixelShuffle
    | Flatten
    | Concat
)


class _Description(msgspec.Struct, forbid_unknown_fields=True):
    version: int
    input_shape: Shape
    output: str
    flat: bool
    nodes: tuple[_AnyOp, ...]


def to_json(graph: Graph) -> str:
    """The graph as one line of JSON: names and numbers only, no weights."""
    nodes: Any = graph.ops
    description = _Description(_VERSION, graph.input_shape, graph.output, graph.flat, nodes)
    # json and not msgspec.json, which writes floats in another way than files have them.
    return json.dumps(msgspec.to_builtins(description), separators=(",", ":"))


def from_json(text: str) -> Graph:
    """Reads a graph that `to_json` wrote; InputError if `text` is anything else."""
    try:
        # json and not msgspec.json, which accepts an object with a repeated key.
        record = json.loads(text, object_pairs_hook=_unique)
        if isinstance(record, dict) and record.get("version", _VERSION) != _VERSION:
            raise ValueError(f"version {record['version']!r:.40} instead of {_VERSION}")
        description = msgspec.convert(record, _Description)
    except (ValueError, TypeError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"sparse graph: damaged description, or one of a newer version: {reason}"
        ) from error
    return Graph(description.nodes, description.input_shape, description.output, description.flat)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key is given twice")
    return record
