"""The table in a sparse file: dtype, shape and number of stored values of every tensor."""

from collections.abc import Sequence
from math import prod
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

_NAMES = ("float16", "float32", "float64", "bool", "uint8", "int8", "int16", "int32", "int64")
DTYPES = {name: np.dtype(name).newbyteorder("<") for name in _NAMES}
# What a file may unpack to; a few damaged bytes could otherwise claim all memory there is.
_LARGEST_STATE = 2**30
_MOST_AXES = 8

Count = Annotated[int, Meta(ge=0, le=_LARGEST_STATE)]


class TensorEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a tensor is stored.

    Attributes:
        name: Its name in the state dict.
        stored: The dtype of its values in the file.
        kept: How many values are in the file: those that are not zero; None if all are.
    """

    name: str
    dtype: str
    stored: str
    shape: Annotated[tuple[Count, ...], Meta(max_length=_MOST_AXES)]
    kept: Count | None

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def values(self) -> int:
        """Number of values in the file."""
        return self.size if self.kept is None else self.kept

    @property
    def is_scaled(self) -> bool:
        """Whether its values are integers to be multiplied by the scale of their channel."""
        return (self.stored, self.dtype) == ("int8", "float32") and len(self.shape) > 1


def write_table(entries: Sequence[TensorEntry]) -> bytes:
    """The table as JSON."""
    return msgspec.json.encode(entries)


def read_table(text: bytes) -> list[TensorEntry]:
    """Reads what `write_table` wrote.

    Raises:
        ValueError: It is something else, names a tensor twice, or one that is impossible or too
            large.
    """
    try:
        entries = msgspec.json.decode(text, type=list[TensorEntry])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its table of tensors is none ({error})") from error
    for entry in entries:
        converted = (entry.stored, entry.dtype) == ("float16", "float32") or entry.is_scaled
        nonempty_size = prod(max(n, 1) for n in entry.shape)
        if (
            not {entry.dtype, entry.stored} <= set(DTYPES)
            or not (entry.stored == entry.dtype or converted)
            or nonempty_size > _LARGEST_STATE
            or entry.values > entry.size
        ):
            raise ValueError(f"no tensor is like {entry}")
    if len({entry.name for entry in entries}) < len(entries):
        raise ValueError("a tensor is there twice")
    size = sum(entry.size * DTYPES[entry.dtype].itemsize for entry in entries)
    if size > _LARGEST_STATE:
        raise ValueError(f"its tensors take {size} bytes, more than {_LARGEST_STATE}")
    return entries
