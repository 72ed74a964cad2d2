"""What a report consists of, before it is Markdown or HTML."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Text:
    """A paragraph; `code` between backticks."""

    words: str


@dataclass(frozen=True)
class Bullets:
    """A list of lines; `code` between backticks."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows of cells; a column is flush right if its cells are numbers."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, str]]) -> "Table":
        """From at least one row, all with the same columns."""
        rows = list(rows)
        return cls(tuple(rows[0]), tuple(tuple(row.values()) for row in rows))


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        name: Of its files, without suffix.
        title: What it shows, in a line; stands for it where it cannot be seen.
        caption: How to read it.
        svg: As text.
        png: As bytes, 200 dots an inch.
    """

    name: str
    title: str
    caption: str
    svg: str
    png: bytes


Block = Text | Bullets | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A report."""

    title: str
    sections: tuple[Section, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure, in order."""
        blocks = [block for section in self.sections for block in section.blocks]
        return tuple(block for block in blocks if isinstance(block, Figure))


def thread_count(threads: int) -> str:
    """`1 thread`, `2 threads`."""
    return f"{threads} thread{'s' if threads > 1 else ''}"


def is_number(cell: str) -> bool:
    """Whether a cell is set flush right."""
    return bool(cell) and (
        cell[0].isdigit() or (cell[0] in "+-−±<" and any(map(str.isdigit, cell)))
    )


def is_numeric(table: Table, column: int) -> bool:
    """Whether a column holds numbers, or nothing."""
    return all(is_number(row[column]) for row in table.rows if row[column])
