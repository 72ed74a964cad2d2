"""Tables and lines on the console."""

from collections.abc import Iterable
from pathlib import Path

from rich import get_console
from rich.markup import escape
from rich.table import Table


def console_table(title: str, columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    """A table whose first column is flush left, and all others flush right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.padding = (0, 2, 0, 0)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def print_line(text: str) -> None:
    """Prints text with rich's markup; it may be longer than the console is wide."""
    get_console().print(text, highlight=False, soft_wrap=True)


def warn_unusable(file: Path, reason: str, consequence: str) -> None:
    """Prints a one-line warning about a file that cannot be used."""
    print_line(f"[yellow]warning[/]: {escape(str(file))}: {escape(reason)}; {consequence}")
