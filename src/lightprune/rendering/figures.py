"""Writes figures, for the screen and for print."""

from functools import partial
from pathlib import Path

from lightprune.files import replace_file, write_text
from lightprune.rendering.document import Figure


def write_figure(figure: Figure, folder: Path) -> None:
    """Writes a figure into a folder, as SVG and PNG."""
    write_text(folder / f"{figure.name}.svg", figure.svg)
    replace_file(folder / f"{figure.name}.png", partial(Path.write_bytes, data=figure.png))
