"""What a report consists of: a main part and sections of Markdown, tables, tiles and figures."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from lightprune.files import replace_file, write_text
from lightprune.rendering.number_format import counted

# Begins as a number, with short words at most or a remark in brackets: `82.7 to 84.2`, `−1 (no
# control)`, not `98 %, 20 + 10 epochs`.
_NUMBER = re.compile(r"[-+−±<]?\d(?![^(]*[a-z]{6})")
# Markdown is read as a whole: of a table of more rows it has the first.
_MARKDOWN_ROWS, _MARKDOWN_FIRST = 12, 8


def escaped(name: str) -> str:
    """A name as Markdown that shows it, with the patterns that it may hold."""
    return re.sub(r"([*`])", r"\\\1", name)


def link(name: str, folder: str) -> str:
    """A Markdown link to a folder beside that of the report."""
    return f"[{escaped(name)}](../{quote(folder)})"


@dataclass(frozen=True)
class Table:
    """A table of Markdown cells.

    `more` says where the rows are that Markdown leaves out of a long one; empty: it has them all.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: str = "report.html"

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, str]], more: str = "report.html") -> "Table":
        """From at least one row, all with the same columns."""
        rows = list(rows)
        return cls(tuple(rows[0]), tuple(tuple(row.values()) for row in rows), more)

    @property
    def filled(self) -> "Table":
        """The table without the columns that say nothing."""
        columns = zip(self.columns, zip(*self.rows, strict=True), strict=True)
        kept = {name: cells for name, cells in columns if any(cells)}
        return Table(tuple(kept), tuple(zip(*kept.values(), strict=True)), self.more)

    @property
    def numeric(self) -> tuple[bool, ...]:
        """By column, whether it has numbers and empty cells alone."""
        columns = zip(*self.rows, strict=True)
        return tuple(all(map(_NUMBER.match, filter(None, cells))) for cells in columns)

    @property
    def markdown(self) -> str:
        """The table, its columns of numbers flush right."""
        is_whole = not self.more or len(self.rows) <= _MARKDOWN_ROWS
        count = len(self.rows) if is_whole else _MARKDOWN_FIRST
        header, *rows = (
            [cell.replace("|", "\\|").replace("\n", " ") for cell in row]
            for row in (self.columns, *self.rows[:count])
        )
        rules = ["---:" if number else "---" for number in self.numeric]
        lines = [f"| {' | '.join(row)} |" for row in (header, rules, *rows)]
        if left := len(self.rows) - count:
            lines += ["", f"{counted(left, 'more row')}: {self.more}."]
        return "\n".join(lines)


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        name: Of its files.
        svg: A file of its own.
        png: The same, 200 dots an inch; empty for an SVG alone.
        inline: The drawing as an element of a page, in the page's style.
        toggles: Class and name of the parts that a page can show and hide; all but the first
            `shown` are hidden.
    """

    name: str
    title: str
    caption: str
    svg: str
    png: bytes = b""
    inline: str = ""
    toggles: tuple[tuple[str, str], ...] = ()
    shown: int = 0

    @property
    def markdown(self) -> str:
        """The figure as an image in the folder `figures`, and its caption."""
        return f"![{self.title}](figures/{self.name}.svg)\n\n**{self.title}.** {self.caption}"

    def write(self, folder: Path) -> None:
        """Writes the figure into a folder."""
        write_text(folder / f"{self.name}.svg", self.svg)
        if self.png:
            replace_file(folder / f"{self.name}.png", lambda file: file.write_bytes(self.png))


@dataclass(frozen=True)
class Choice:
    """Figures by label, of which a page shows one at a time."""

    figures: Mapping[str, Figure]

    @property
    def markdown(self) -> str:
        """The first, and links to the others."""
        first, *others = self.figures.items()
        links = [f"[{label}](figures/{figure.name}.svg)" for label, figure in others]
        return first[1].markdown + (f" The same over {', '.join(links)}." if links else "")


@dataclass(frozen=True)
class Tiles:
    """The figures that one reads first: label, value and a note each."""

    tiles: tuple[tuple[str, str, str], ...]

    @property
    def markdown(self) -> str:
        """A table of two rows."""
        labels, values, notes = zip(*self.tiles, strict=True)
        bold = tuple(f"**{value}**" for value in values)
        return Table(labels, (bold, notes)).markdown


# A string is Markdown.
Block = str | Table | Figure | Choice | Tiles


@dataclass(frozen=True)
class Section:
    """A heading and what stands below it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Document:
    """A report: what is read first, and sections that a page opens on demand."""

    title: str
    main: tuple[Block, ...]
    sections: tuple[Section, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Every figure, in order."""
        found: list[Figure] = []
        for block in (*self.main, *(block for each in self.sections for block in each.blocks)):
            if isinstance(block, Choice):
                found += block.figures.values()
            elif isinstance(block, Figure):
                found.append(block)
        return tuple(found)

    @property
    def markdown(self) -> str:
        """The whole report; its figures are links to files."""
        parts = [f"# {self.title}", *map(block_markdown, self.main)]
        for section in self.sections:
            parts += [f"## {section.title}", *map(block_markdown, section.blocks)]
        return "\n\n".join(parts) + "\n"


def block_markdown(block: Block) -> str:
    """A block as Markdown."""
    return block if isinstance(block, str) else block.markdown


def bullets(items: Iterable[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {item}" for item in items)
