"""Drawings as SVG: elements that take a page's colours, and files of their own."""

from collections.abc import Iterable, Sequence
from html import escape

from lightprune.rendering.document import Figure

_DASHES = ("none", "7 3", "2 3", "9 3 2 3", "12 4", "4 2")
_LIGHT = ("#0072b2", "#b84a00", "#00785a", "#a24a7c", "#7a6000", "#111")
_DARK = ("#6cbcf0", "#ff9a52", "#3fcf9f", "#eb9fca", "#e0c34a", "#fff")


def _style(colours: Sequence[str]) -> str:
    return "".join(
        f".s{number}{{color:{colour};fill:{colour}}}" for number, colour in enumerate(colours)
    )


# For the page, and for an SVG that stands alone.
CHART_STYLE = (
    'svg{font:12px "DejaVu Sans",Verdana,Arial,sans-serif;color:#222;fill:currentColor}'
    ".grid{stroke:currentColor;stroke-opacity:.14}.band{fill-opacity:.12}.soft{fill-opacity:.75}"
    ".line,.bar{fill:none;stroke:currentColor;stroke-width:1.5}.bar{stroke-width:1}"
    ".front{fill:none;stroke:currentColor;stroke-opacity:.22;stroke-width:7;"
    "stroke-linejoin:round;stroke-linecap:round}.lead{stroke:currentColor;stroke-opacity:.5}"
    ".m{stroke:currentColor}.other{fill-opacity:.28;stroke-opacity:.45}.off{display:none}"
    ".small{font-size:10.5px}.lose{fill:#d55e00}.gain{fill:#0072b2}.b{font-weight:bold}.end{text-anchor:end}"
    f".mid{{text-anchor:middle}}{_style(_LIGHT)}"
    + "".join(
        f".s{number} .line{{stroke-dasharray:{dashes}}}" for number, dashes in enumerate(_DASHES)
    )
)
DARK_CHART_STYLE = f"svg{{color:#ddd}}{_style(_DARK)}"


def standalone(svg: str) -> str:
    """A chart as a file of its own, on white: for Markdown and print.

    Its links lead from a folder below that of the page.
    """
    head, _, rest = svg.replace('href="../', 'href="../../').partition(">")
    return (
        f'{head} xmlns="http://www.w3.org/2000/svg"><style>{CHART_STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{rest}'
    )


def chart_figure(name: str, title: str, caption: str, svg: str) -> Figure:
    """A chart as a figure of a document."""
    return Figure(name, title, caption, standalone(svg), inline=svg)


def svg_element(title: str, width: int, height: int, parts: Iterable[str]) -> str:
    """The drawing that a page embeds."""
    label = escape(title)
    box = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    return f'<svg {box} role="img" aria-label="{label}">\n' + "\n".join(parts) + "\n</svg>\n"


def pixels(value: float) -> str:
    """A position in an SVG, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")
