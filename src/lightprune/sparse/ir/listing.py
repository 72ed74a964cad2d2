"""How the stages of the compiler print: shapes as 64x8x8, one aligned line an operation."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest


def dims(shape: Iterable[int]) -> str:
    """A shape, kernel or stride as 64x8x8."""
    return "x".join(map(str, shape))


def listing(title: str, rows: Sequence[Sequence[str]]) -> str:
    """A title and, below it, indented rows that are aligned in columns."""
    widths = [max(map(len, column)) for column in zip_longest(*rows, fillvalue="")]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join([title, *(f"  {line}" for line in lines)])
