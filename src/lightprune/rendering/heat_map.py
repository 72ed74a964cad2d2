"""Heat maps as SVG text: shades that are numbers, too."""

import math
from collections.abc import Sequence
from html import escape

from lightprune.rendering.svg import pixels, svg_element


def heat_map(
    title: str,
    columns: Sequence[str],
    rows: Sequence[tuple[str, Sequence[tuple[float, str]]]],
) -> str:
    """Rows of cells, each a shade and its words: 1 is all blue, -1 all orange, 0 clear."""
    left = 8 + 6.6 * max(len(name) for name, _ in rows)
    width = min(64.0, max(9.0, (1230 - left) / len(columns)))
    slanted = max(map(len, columns)) * 6.6 > width
    top = 12 + (5.0 * max(map(len, columns)) if slanted else 12.0)
    parts = []
    crowded = not slanted and width < 18
    for number, name in enumerate(columns):
        if crowded and number % 2:
            continue
        place = pixels(left + (number + 0.5) * width), pixels(top - 5)
        turn = f' transform="rotate(-45 {" ".join(place)})"' if slanted else ' class="mid small"'
        parts.append(f'<text x="{place[0]}" y="{place[1]}"{turn}>{escape(name)}</text>')
    for row, (name, cells) in enumerate(rows):
        y = top + 16 * row
        parts.append(
            f'<text class="end" x="{pixels(left - 6)}" y="{pixels(y + 12)}">{escape(name)}</text>'
        )
        for column, (shade, words) in enumerate(cells):
            x, tone = left + column * width, "gain" if shade > 0 else "lose"
            if abs(shade) >= 0.01:
                box = f'x="{pixels(x)}" y="{pixels(y)}" width="{pixels(width - 1)}" height="15"'
                alpha = f"{0.6 * min(1.0, abs(shade)):.2f}".lstrip("0")
                parts.append(f'<rect class="{tone}" {box} fill-opacity="{alpha}"/>')
            if words and len(words) * 7 <= width + 4:
                where = f'x="{pixels(x + width / 2)}" y="{pixels(y + 12)}"'
                parts.append(f'<text class="mid" {where}>{escape(words)}</text>')
    slant = 4.8 * max(map(len, columns)) if slanted else 0
    wide = max(left + width * len(columns) + slant, 400)
    return svg_element(title, math.ceil(wide), math.ceil(top + 16 * len(rows) + 4), parts)
