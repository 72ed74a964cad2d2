"""A report as one HTML page that needs nothing beside it: no network, no script, no file."""

import re
from html import escape
from zlib import crc32

from markdown_it import MarkdownIt

from lightprune.rendering.document import Document, Figure

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
_FRAME = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<nav aria-label="Contents"><ol>{contents}</ol></nav>
{sections}</main>
</body>
</html>
"""
# An image of a document's Markdown and the paragraph after it, as HTML.
_IMAGE = re.compile(r'<p><img src="figures/([^"]*)\.svg"[^>]*></p>\n<p>(.*?)</p>')


def page(document: Document) -> str:
    """The whole report: its Markdown as HTML, with its figures inside."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    figures = {figure.name: figure for figure in document.figures}

    def embed(image: re.Match[str]) -> str:
        figure = figures[image[1]]
        return (
            f'<figure role="group" aria-label="{escape(figure.title)}">{inline(figure)}\n'
            f"<figcaption>{image[2]}</figcaption></figure>"
        )

    title, contents, sections = escape(document.title), "", ""
    for number, section in enumerate(document.sections, 1):
        heading = escape(section.title)
        contents += f'<li><a href="#part-{number}">{heading}</a></li>'
        body = parser.render(section.markdown)
        for old, new in (
            ("<table>", '<div class="wide"><table>'),
            ("</table>", "</table></div>"),
            ("<th", '<th scope="col"'),
            ('<th scope="col"ead>', "<thead>"),
            (' style="text-align:right"', ' class="n"'),  # A class, in fewer bytes.
        ):
            body = body.replace(old, new)
        body = _IMAGE.sub(embed, body)
        sections += f'<section id="part-{number}"><h2>{number}. {heading}</h2>\n{body}</section>\n'
    return _FRAME.format(title=title, style=_STYLE, contents=contents, sections=sections)


def inline(figure: Figure) -> str:
    """A figure's SVG as an element of a page: no prologue, and about two thirds of the bytes."""
    svg = figure.svg[figure.svg.index("<svg") :].strip()
    # Nothing refers to groups. What is referred to is named by a hash of figure and content.
    svg = re.sub(r'\n\s*(?:<!--.*?-->|<g id="[^"]*"/>)|(?<=<g) id="[^"]*"|(?<=\n) +', "", svg)
    # A hundredth of a point is more than a screen or a printer shows.
    svg = re.sub(r'(?<=[ "(-])\d+\.\d{3,}', lambda number: f"{float(number[0]):.2f}", svg)
    # A style is written once. Its class is a hash of it, so figures of a page may share it.
    styles = dict.fromkeys(re.findall(r' style="([^"]*)"', svg))
    classes = {style: f"s{crc32(style.encode()):x}" for style in styles}
    svg = re.sub(r' style="([^"]*)"', lambda style: f' class="{classes[style[1]]}"', svg)
    rules = "".join(f"\n.{name} {{{style}}}" for style, name in classes.items())
    svg = svg.replace("</style>", f"{rules}\n</style>", 1)
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(figure.title)}"', 1)
