"""A report as one HTML page that needs nothing beside it: no network and no file."""

import re
from html import escape
from importlib.resources import files

from markdown_it import MarkdownIt

from lightprune.rendering.document import Block, Choice, Document, Figure, Table, Tiles
from lightprune.rendering.svg import CHART_STYLE, DARK_CHART_STYLE

# From so many rows, or pixels, on a table or a drawing scrolls in a frame of its own.
_TALL, _TALL_DRAWING = 16, 500
# A column of short words does not wrap.
_SHORT = 28
_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
{main}
{sections}</main>
<script>
{script}</script>
</body>
</html>
"""


def page(document: Document) -> str:
    """The whole report: everything but its main part is closed, and open in print."""
    writer = _Writer()
    sections = "".join(
        f"<details><summary><h2>{escape(section.title)}</h2></summary>\n"
        f"{''.join(map(writer.block, section.blocks))}</details>\n"
        for section in document.sections
    )
    around = files("lightprune.rendering")
    dark = f"@media screen and (prefers-color-scheme: dark) {{ {DARK_CHART_STYLE} }}"
    style = f"{CHART_STYLE}\n{dark}\n{around.joinpath('page.css').read_text('utf-8')}"
    return _FRAME.format(
        title=escape(document.title),
        style=style,
        main="".join(map(writer.block, document.main)),
        sections=sections,
        script=around.joinpath("page.js").read_text("utf-8"),
    )


class _Writer:
    def __init__(self) -> None:
        self._parser = MarkdownIt("commonmark", {"html": False})
        self._choices = 0

    def block(self, block: Block) -> str:
        if isinstance(block, Table):
            return self._table(block)
        if isinstance(block, Figure):
            return self._figure(block)
        if isinstance(block, Choice):
            return self._choice(block)
        if isinstance(block, Tiles):
            return f'<div class="tiles">{"".join(self._tile(*tile) for tile in block.tiles)}</div>'
        return str(self._parser.render(block))

    def _inline(self, text: str) -> str:
        marked = any(sign in text for sign in "`*_[\\")
        return self._parser.renderInline(text) if marked else escape(text, quote=False)

    def _tile(self, label: str, value: str, note: str) -> str:
        label, value, note = map(self._inline, (label, value, note))
        return f"<div><p>{label}</p><p><b>{value}</b></p><p>{note}</p></div>"

    def _table(self, table: Table) -> str:
        columns = zip(table.numeric, zip(*table.rows, strict=True), strict=True)
        classes = [
            ' class="n"' if number else ' class="s"' if max(map(len, cells)) <= _SHORT else ""
            for number, cells in columns
        ]
        head = "".join(
            f'<th scope="col"{css}>{self._inline(name)}</th>'
            for css, name in zip(classes, table.columns, strict=True)
        )
        body = "\n".join(
            "<tr>"
            + "".join(
                f"<td{css}>{self._inline(cell)}</td>"
                for css, cell in zip(classes, row, strict=True)
            )
            + "</tr>"
            for row in table.rows
        )
        tall = " tall" if len(table.rows) > _TALL else ""
        return (
            f'<div class="wide{tall}"><table><thead><tr>{head}</tr></thead>\n'
            f"<tbody>{body}</tbody></table></div>\n"
        )

    def _figure(self, figure: Figure) -> str:
        drawing = figure.inline or figure.svg[figure.svg.index("<svg") :]
        height = re.search(r'height="(\d+)"', drawing)
        tall = " tall" if height and int(height[1]) > _TALL_DRAWING else ""
        toggles = "".join(
            f'<label class="s{number % 6}"><input type="checkbox" data-part="{key}"'
            f"{' checked' if number < figure.shown else ''}>{escape(name)}</label>"
            for number, (key, name) in enumerate(figure.toggles)
        )
        return (
            f'<figure data-figure="{figure.name}"><div class="wide{tall}">{drawing}</div>'
            + (f'<div class="toggles">{toggles}</div>' if toggles else "")
            + f"<figcaption><b>{escape(figure.title)}.</b> {self._inline(figure.caption)}"
            "</figcaption></figure>\n"
        )

    def _choice(self, choice: Choice) -> str:
        self._choices += 1
        inputs, figures = "", ""
        for number, (label, figure) in enumerate(choice.figures.items()):
            checked = "" if number else " checked"
            inputs += (
                f'<label><input type="radio" name="choice-{self._choices}"{checked}>'
                f"{escape(label)}</label>"
            )
            figures += self._figure(figure)
        switch = f"<fieldset><legend>over</legend>{inputs}</fieldset>"
        return f'<div class="choice">{switch if len(choice.figures) > 1 else ""}{figures}</div>\n'
