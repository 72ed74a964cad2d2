"""Charts as SVG text: marks and lines over one axis."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape

from lightprune.rendering.svg import pixels, svg_element

# How many series can be told apart, without colours too: by marker and dashes.
STYLES = 6
_MARKERS = (
    "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "M-3.6-3.6h7.2v7.2h-7.2z",
    "M0-5L4.8 3.6H-4.8z",
    "M0-5.4L5.4 0L0 5.4L-5.4 0z",
    "M0 5L4.8-3.6H-4.8z",
    "M-4.4-1.5h2.9v-2.9h3v2.9h2.9v3h-2.9v2.9h-3v-2.9h-2.9z",
)


@dataclass(frozen=True)
class Mark:
    """One result on a chart.

    Attributes:
        low: Lower end of its error bar, as `high` the upper; None without a bar.
        words: What it says when pointed at.
        href: Where a click leads; empty for nowhere.
    """

    x: float
    y: float
    words: str = ""
    low: float | None = None
    high: float | None = None
    href: str = ""


@dataclass(frozen=True)
class Series:
    """Marks of one kind, joined in their order if they have a style of their own.

    Attributes:
        name: Written at their end; what follows the first comma below it.
        style: Number of a colour, marker and dashes; None for marks in the background.
        markers: Whether each mark is drawn, or the line alone.
        key: Class of all that is drawn of it, for a page's script.
        hidden: Whether it waits for that script to show it.
    """

    name: str
    marks: tuple[Mark, ...]
    style: int | None
    markers: bool = True
    key: str = ""
    hidden: bool = False


@dataclass(frozen=True)
class Axis:
    """An axis from `start` to `end`, in this order; `ticks` are (value, label)."""

    label: str
    start: float
    end: float
    ticks: tuple[tuple[float, str], ...]
    log: bool = False

    def at(self, value: float, start: float, end: float) -> float:
        """Where a value lies between two positions."""
        scale = math.log if self.log else float
        first, last, here = scale(self.start), scale(self.end), scale(value)
        return start + (end - start) * (here - first) / (last - first)


@dataclass(frozen=True)
class Band:
    """A horizontal band and the line in it."""

    name: str
    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class _Plot:
    """Where the axes of a chart lie, in pixels."""

    x: Axis
    y: Axis
    left: float = 62
    right: float = 850
    top: float = 14
    bottom: float = 332
    parts: list[str] = field(default_factory=list)

    @property
    def floor(self) -> float:
        """The lowest value that is on the axis."""
        return min(self.y.start, self.y.end)

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Of a value; what lies below the axis stands on its lower edge."""
        height = self.y.at(max(self.floor, y), self.bottom, self.top)
        return self.x.at(x, self.left, self.right), height


def number_axis(label: str, values: Iterable[float], *, log: bool = False, unit: float = 1) -> Axis:
    """An axis around values, with round ticks; these are labelled in units of `unit`."""
    low, high = min(values := [*values]), max(values)
    if log:
        low, high = low / 1.15, high * 1.15
        powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
        digits = (1, 2, 5) if high > 8 * low else (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
        places = [digit * 10.0**power for power in powers for digit in digits]
    else:
        room = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        low, high = low - room, high + room
        rough = (high - low) / 7
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * digit for digit in (1, 2, 5, 10) if power * digit >= rough)
        places = [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]
    ticks = tuple((place, f"{place / unit:.6g}") for place in places if low <= place <= high)
    return Axis(label, low, high, ticks, log)


def xy_chart(
    title: str,
    x: Axis,
    y: Axis,
    series: Sequence[Series],
    bands: Sequence[Band] = (),
    frontier: Sequence[tuple[float, float]] = (),
) -> str:
    """A wide chart; labels of series stand beside it, at the height of their last mark."""
    plot = _Plot(x, y)
    parts = plot.parts
    _draw_axes(plot)
    for number, band in enumerate(sorted(bands, key=lambda band: -band.middle)):
        low, middle, high = (plot.place(x.start, v)[1] for v in (band.low, band.middle, band.high))
        width = plot.right - plot.left
        parts.append(
            f'<path class="band" d="M{plot.left} {pixels(high)}h{width}V{pixels(low)}h-{width}z"/>'
            f'<path class="lead" d="M{plot.left} {pixels(middle)}h{width}"/>'
            f'<text class="soft end" x="{plot.right - 6}" '
            f'y="{pixels(middle + 14 if number else middle - 4)}">{escape(band.name)}</text>'
        )
    if len(frontier) > 1:
        corners = [plot.place(*at) for at in frontier]
        parts.append(f'<path class="front" d="{_path(corners)}"/>')
    for each in sorted(series, key=lambda each: each.style is not None):
        _draw_series(plot, each)
    _draw_labels(plot, [e for e in series if e.style is not None and e.name and not e.hidden])
    return svg_element(title, 1160, 380, parts)


def _draw_axes(plot: _Plot) -> None:
    lines = []
    for value, label in plot.x.ticks:
        at = pixels(plot.x.at(value, plot.left, plot.right))
        lines.append(f"M{at} {plot.top}V{plot.bottom}")
        plot.parts.append(f'<text class="mid" x="{at}" y="{plot.bottom + 17}">{label}</text>')
    for value, label in plot.y.ticks:
        at = pixels(plot.y.at(value, plot.bottom, plot.top))
        lines.append(f"M{plot.left} {at}H{plot.right}")
        plot.parts.append(f'<text class="end" x="{plot.left - 7}" y="{at}" dy="4">{label}</text>')
    plot.parts.append(f'<path class="grid" d="{"".join(lines)}"/>')
    middle, upright = (plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2
    plot.parts.append(
        f'<text class="mid" x="{middle}" y="{plot.bottom + 39}">{escape(plot.x.label)}</text>'
        f'<text class="mid" transform="rotate(-90 16 {upright})" x="16" y="{upright}">'
        f"{escape(plot.y.label)}</text>"
    )


def _draw_series(plot: _Plot, series: Series) -> None:
    places = [plot.place(mark.x, mark.y) for mark in series.marks]
    style = "other" if series.style is None else f"s{series.style}"
    words = " ".join(filter(None, (series.key, style, "off" if series.hidden else "")))
    plot.parts.append(f'<g class="{words}">')
    if series.style is not None and len(places) > 1:
        plot.parts.append(f'<path class="line" d="{_path(places)}"/>')
    if series.style is not None and series.markers:
        bars = [
            _path([plot.place(mark.x, mark.low), plot.place(mark.x, mark.high)])
            for mark in series.marks
            if mark.low is not None and mark.high is not None and mark.high > plot.floor
        ]
        plot.parts.append(f'<path class="bar" d="{"".join(bars)}"/>' if bars else "")
    if series.markers:
        for (x, y), mark in zip(places, series.marks, strict=True):
            drawn = (
                f'<path class="m" d="{_MARKERS[series.style or 0]}" '
                f'transform="translate({pixels(x)} {pixels(y)})"><title>'
                f"{escape(mark.words)}</title></path>"
            )
            below = f'<text class="mid" x="{pixels(x)}" y="{pixels(y - 8)}">↓</text>'
            drawn += below if mark.y < plot.floor else ""
            link = f'<a href="{escape(mark.href)}">{drawn}</a>'
            plot.parts.append(link if mark.href else drawn)
    plot.parts.append("</g>")


def _draw_labels(plot: _Plot, series: Sequence[Series]) -> None:
    """Names to the right of the plot, pushed apart, each with a line to its last mark."""
    ends = sorted(
        ((plot.place(each.marks[-1].x, each.marks[-1].y), each) for each in series),
        key=lambda end: end[0][1],
    )
    gap, floor = 34.0, plot.bottom - 34.0 * (len(ends) - 1)
    y = plot.top
    for number, ((x, height), each) in enumerate(ends):
        y = min(max(y, height), floor + gap * number)
        name, _, rest = each.name.partition(", ")
        start, text = plot.right + 10, plot.right + 32
        plot.parts.append(
            f'<g class="{f"{each.key} s{each.style}".strip()}"><path class="lead" '
            f'd="M{pixels(x + 6)} {pixels(height)}L{start} {pixels(y)}"/>'
            f'<path class="m" d="{_MARKERS[each.style or 0]}" '
            f'transform="translate({start + 9} {pixels(y)})"/>'
            f'<text class="b" x="{text}" y="{pixels(y + 4)}">{escape(name)}</text>'
            f'<text class="small" x="{text}" y="{pixels(y + 18)}">{escape(rest)}</text></g>'
        )
        y += gap


def _path(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{pixels(x)} {pixels(y)}" for x, y in places)
