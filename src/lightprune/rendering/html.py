"""A report as one HTML page that needs nothing beside it: no network, no script, no file."""

import re
from collections import Counter
from html import escape

from lightprune.rendering.document import Block, Bullets, Document, Figure, Table, Text, is_numeric

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 "DejaVu Sans", Verdana, Arial, sans-serif; color: #111; background: #fff;
  max-width: 78rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.2rem; margin-top: 2.5rem; border-bottom: 1px solid #999; }
nav ol { columns: 2; padding-left: 1.4rem; }
a { color: #004b87; }
code { font: .85em "DejaVu Sans Mono", Consolas, monospace; background: #f2f2f2;
  padding: .1em .25em; overflow-wrap: anywhere; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .8rem; line-height: 1.35; }
th, td { padding: .3rem .5rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid #ccc; }
th { border-bottom: 2px solid #111; vertical-align: bottom; }
.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n { white-space: nowrap; }
td:not(.n) { min-width: 8rem; max-width: 22rem; }
td:first-child { min-width: 11rem; }
figure { margin: 1.5rem 0; }
figure svg { max-width: 100%; height: auto; }
figcaption { font-size: .85rem; color: #333; max-width: 46rem; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; }
  table { font-size: 8pt; } figure, tr { break-inside: avoid; } .wide { overflow: visible; } }
"""


def page(document: Document) -> str:
    """The whole report."""
    title = escape(document.title)
    body = [f"<h1>{title}</h1>", _contents(document)]
    for number, section in enumerate(document.sections, 1):
        body.append(f'<section id="part-{number}"><h2>{number}. {escape(section.title)}</h2>')
        body += [_block(block) for block in section.blocks]
        body.append("</section>")
    head = (
        '<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>"
    )
    lines = "\n".join(body)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n{head}\n</head>\n'
        f"<body>\n<main>\n{lines}\n</main>\n</body>\n</html>\n"
    )


def _contents(document: Document) -> str:
    items = [
        f'<li><a href="#part-{number}">{escape(section.title)}</a></li>'
        for number, section in enumerate(document.sections, 1)
    ]
    return f'<nav aria-label="Contents"><ol>{"".join(items)}</ol></nav>'


def _block(block: Block) -> str:
    if isinstance(block, Text):
        return f"<p>{_marked(block.words)}</p>"
    if isinstance(block, Bullets):
        return f"<ul>{''.join(f'<li>{_marked(item)}</li>' for item in block.items)}</ul>"
    if isinstance(block, Table):
        return _table(block)
    assert isinstance(block, Figure)
    return (
        f'<figure role="group" aria-label="{escape(block.title)}">{inline(block)}\n'
        f"<figcaption><b>{escape(block.title)}.</b> {_marked(block.caption)}</figcaption></figure>"
    )


def _table(content: Table) -> str:
    right = [' class="n"' if is_numeric(content, i) else "" for i in range(len(content.columns))]
    heads = [
        f'<th scope="col"{r}>{_marked(c)}</th>' for c, r in zip(content.columns, right, strict=True)
    ]
    rows = [
        "".join(f"<td{r}>{_marked(cell)}</td>" for cell, r in zip(row, right, strict=True))
        for row in content.rows
    ]
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><thead><tr>{"".join(heads)}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def inline(figure: Figure) -> str:
    """A figure's SVG as an element of a page: ids of its own, no prologue, in few bytes."""
    svg = figure.svg[figure.svg.index("<svg") :].strip()
    # Nothing refers to groups, and a hundredth of a point is more than a screen or a printer shows.
    svg = re.sub(r'<g id="[^"]*"/>\n', "", re.sub(r"\n\s+", "\n", svg))
    svg = _ungrouped(re.sub(r'<g id="[^"]*">', "<g>", svg))
    svg = re.sub(r'(?<=[ "(-])\d+\.\d{3,}', lambda number: f"{float(number[0]):.2f}", svg)
    svg = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{figure.name}-", svg)
    svg = _styled_once(svg, figure.name)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(figure.title)}"', 1)


def _ungrouped(svg: str) -> str:
    """Without the groups that say nothing of what is in them."""
    kept: list[bool] = []
    found = []
    for part in re.split(r"(</?g\b[^>]*>\n?)", svg):
        if part.startswith("</g>"):
            if not kept.pop():
                continue
        elif part.startswith("<g") and "/>" not in part:
            kept.append(not part.startswith("<g>"))
            if not kept[-1]:
                continue
        found.append(part)
    return "".join(found)


def _styled_once(svg: str, name: str) -> str:
    """With a class for what several elements are styled like."""
    counts = Counter(re.findall(r' style="([^"]*)"', svg))
    classes = {
        style: f"{name}-{number}"
        for number, (style, count) in enumerate(counts.items())
        if count > 1
    }
    for style, of in classes.items():
        svg = svg.replace(f' style="{style}"', f' class="{of}"')
    rules = "".join(f"\n.{of} {{{style}}}" for style, of in classes.items())
    return svg.replace("</style>", f"{rules}\n</style>", 1)


def _marked(words: str) -> str:
    """Escaped text, with `code` set as such."""
    bold = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(words, quote=False))
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", bold)
