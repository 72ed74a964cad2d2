"""What a report consists of: titled sections of Markdown, tables and figures."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lightprune.files import replace_file, write_text

_NUMBER = re.compile(r"\d|[-+−±<].*\d")


@dataclass(frozen=True)
class Table:
    """A table of Markdown cells."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, str]]) -> "Table":
        """From at least one row, all with the same columns."""
        rows = list(rows)
        return cls(tuple(rows[0]), tuple(tuple(row.values()) for row in rows))

    @property
    def markdown(self) -> str:
        """Columns of numbers, and of numbers and empty cells, are flush right."""
        rules = [
            "---:" if all(map(_NUMBER.match, filter(None, cells))) else "---"
            for cells in zip(*self.rows, strict=True)
        ]
        header, *rows = (
            [cell.replace("|", "\\|").replace("\n", " ") for cell in row]
            for row in (self.columns, *self.rows)
        )
        return "\n".join(f"| {' | '.join(row)} |" for row in (header, rules, *rows))


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        name: Of its files.
        svg: A file of its own.
        png: The same, 200 dots an inch; empty for an SVG alone.
        inline: The drawing as an element of a page, in the page's style.
    """

    name: str
    title: str
    caption: str
    svg: str
    png: bytes = b""
    inline: str = ""

    @property
    def markdown(self) -> str:
        """The figure as an image in the folder `figures`, and its caption."""
        return f"![{self.title}](figures/{self.name}.svg)\n\n**{self.title}.** {self.caption}"

    def write(self, folder: Path) -> None:
        """Writes the figure into a folder."""
        write_text(folder / f"{self.name}.svg", self.svg)
        if self.png:
            replace_file(folder / f"{self.name}.png", lambda file: file.write_bytes(self.png))


# A string is Markdown.
Block = str | Table | Figure


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]

    @property
    def markdown(self) -> str:
        """Everything below the heading."""
        return "\n\n".join(b if isinstance(b, str) else b.markdown for b in self.blocks)


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

    @property
    def markdown(self) -> str:
        """The whole report; its figures are links to files."""
        sections = (f"## {section.title}\n\n{section.markdown}\n" for section in self.sections)
        return "\n".join((f"# {self.title}\n", *sections))


def bullets(items: Iterable[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {item}" for item in items)


def thread_count(threads: int) -> str:
    """`1 thread`, `2 threads`."""
    return f"{threads} thread{'s' if threads > 1 else ''}"
