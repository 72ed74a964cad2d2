"""The table in a sparse file: what every tensor is, and how many of its values are there."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

_NAMES = ("float16", "float32", "float64", "bool", "uint8", "int8", "int16", "int32", "int64")
DTYPES = {name: np.dtype(name).newbyteorder("<") for name in _NAMES}
# What a file may unpack to; a few damaged bytes could otherwise ask for all memory there is.
_LARGEST_STATE = 2**30
_MOST_AXES = 8


@dataclass(frozen=True)
class Entry:
    """How a tensor is stored.

    Attributes:
        name: Its name in the state dict.
        dtype: What it is.
        stored: What its values are in the file.
        shape: Its shape.
        kept: How many values are in the file: those that are not zero; None if all are.
    """

    name: str
    dtype: str
    stored: str
    shape: tuple[int, ...]
    kept: int | None

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def values(self) -> int:
        """Number of values in the file."""
        return self.size if self.kept is None else self.kept

    def check(self) -> None:
        """Raises ValueError if no tensor can be like this."""
        numbers = (*self.shape, 0 if self.kept is None else self.kept)
        if (
            not isinstance(self.name, str)
            or not {self.dtype, self.stored} <= set(DTYPES)
            or (self.stored != self.dtype and (self.stored, self.dtype) != ("float16", "float32"))
            or not all(type(n) is int and 0 <= n <= _LARGEST_STATE for n in numbers)
            or len(self.shape) > _MOST_AXES
            or prod(max(n, 1) for n in self.shape) > _LARGEST_STATE
            or self.values > self.size
        ):
            raise ValueError(f"no tensor is like {self}")


def write_table(entries: Sequence[Entry]) -> bytes:
    """The table as JSON."""
    return json.dumps([vars(entry) for entry in entries]).encode()


def read_table(text: bytes) -> list[Entry]:
    """Reads what `write_table` wrote.

    Raises:
        ValueError: It is no table, or one that `check_table` refuses.
    """
    try:
        rows: Any = json.loads(text)
        entries = [Entry(**{**row, "shape": tuple(row["shape"])}) for row in rows]
        check_table(entries)
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"its table of tensors is none ({error})") from error
    return entries


def check_table(entries: Sequence[Entry]) -> None:
    """Raises ValueError unless the tensors are possible, named once, and fit into memory."""
    for entry in entries:
        entry.check()
    if len({entry.name for entry in entries}) < len(entries):
        raise ValueError("a tensor is there twice")
    size = sum(entry.size * DTYPES[entry.dtype].itemsize for entry in entries)
    if size > _LARGEST_STATE:
        raise ValueError(f"its tensors take {size} bytes, more than {_LARGEST_STATE}")
