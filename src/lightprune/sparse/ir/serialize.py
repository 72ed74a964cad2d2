"""A graph as JSON and back: strict, so that damage is an error and never a wrong network."""

import json
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

from lightprune.errors import InputError, first_line
from lightprune.sparse.ir.graph import Graph
from lightprune.sparse.ir.ops import (
    AdaptiveAvgPool,
    Add,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    Linear,
    MaxPool,
    Op,
    Padding,
    Pair,
    Relu,
    Shape,
)

_VERSION = 1
_KINDS: dict[str, type[Op]] = {
    "Conv": Conv,
    "Linear": Linear,
    "BatchNorm": BatchNorm,
    "Relu": Relu,
    "Add": Add,
    "MaxPool": MaxPool,
    "AvgPool": AvgPool,
    "AdaptiveAvgPool": AdaptiveAvgPool,
    "Flatten": Flatten,
    "Concat": Concat,
}
_KEYS = {"version", "input_shape", "output", "flat", "nodes"}


def to_json(graph: Graph) -> str:
    """The graph as one line of JSON: names and numbers only, no weights."""
    nodes = [{"op": type(node).__name__} | vars(node) for node in graph.ops]
    return json.dumps(
        {
            "version": _VERSION,
            "input_shape": graph.input_shape,
            "output": graph.output,
            "flat": graph.flat,
            "nodes": nodes,
        },
        separators=(",", ":"),
    )


def from_json(text: str) -> Graph:
    """Reads a graph that `to_json` wrote.

    Raises:
        InputError: `text` is anything else.
    """
    try:
        record = _mapping(json.loads(text, object_pairs_hook=_once), "the description", _KEYS)
        if record["version"] != _VERSION:
            raise ValueError(f"version {record['version']!r:.40} instead of {_VERSION}")
        if not isinstance(record["nodes"], list):
            raise ValueError("nodes is not a list")
        return Graph(
            ops=tuple(_node(node) for node in record["nodes"]),
            input_shape=_READERS[Shape](record["input_shape"], "input_shape"),
            output=_READERS[str](record["output"], "output"),
            flat=_READERS[bool](record["flat"], "flat"),
        )
    except InputError:
        raise
    except (ValueError, TypeError, RecursionError) as error:
        reason = first_line(error)
        raise InputError(f"sparse graph: damaged description: {reason}") from error


def _node(record: object) -> Op:
    """One node, every attribute of it present and of its type."""
    op = record.get("op") if isinstance(record, dict) else None
    kind = _KINDS.get(op) if isinstance(op, str) else None
    if kind is None:
        raise ValueError(f"no such operation: {op!r:.40}")
    hints = get_type_hints(kind)
    names = [attribute.name for attribute in fields(kind)]
    given = _mapping(record, str(op), {"op", *names})
    return kind(**{name: _READERS[hints[name]](given[name], f"{op}.{name}") for name in names})


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are all different."""
    record = dict(pairs)
    if len(record) != len(pairs):
        raise ValueError("a key is given twice")
    return record


def _mapping(record: object, what: str, keys: set[str]) -> dict[str, Any]:
    """`record`, if it is an object with exactly these keys."""
    if not isinstance(record, dict) or set(record) != keys:
        raise ValueError(f"{what} needs exactly {', '.join(sorted(keys))}")
    return record


def _exactly(kind: type) -> Callable[[object, str], Any]:
    """A reader of one JSON type; True is no integer."""

    def read(value: object, what: str) -> Any:
        if type(value) is not kind:
            raise ValueError(f"{what}={value!r:.40} is no {kind.__name__}")
        if isinstance(value, int) and abs(value) > _LARGEST:
            raise ValueError(f"{what} is too large")
        return value

    return read


def _several(read: Callable[[object, str], Any], length: int) -> Callable[[object, str], Any]:
    """A reader of lists; of any length but 0 if `length` is 0."""

    def read_all(value: object, what: str) -> Any:
        if not isinstance(value, list) or not value or (length and len(value) != length):
            raise ValueError(f"{what}={value!r:.40} has the wrong length")
        return tuple(read(item, what) for item in value)

    return read_all


def _text_or_none(value: object, what: str) -> str | None:
    """A string or null."""
    return None if value is None else _READERS[str](value, what)


_LARGEST = 2**31
_PAIR = _several(_exactly(int), 2)
_READERS: dict[Any, Callable[[object, str], Any]] = {
    str: _exactly(str),
    int: _exactly(int),
    bool: _exactly(bool),
    float: _exactly(float),
    str | None: _text_or_none,
    Pair: _PAIR,
    Padding: _several(_PAIR, 2),
    Shape: _several(_exactly(int), 3),
    tuple[str, ...]: _several(_exactly(str), 0),
}
