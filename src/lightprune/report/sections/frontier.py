"""Accuracy against sparsity, nominal and live."""

from collections.abc import Iterator
from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lightprune.rendering import plotting
from lightprune.rendering.document import Block
from lightprune.report.findings import Findings
from lightprune.report.published import Published, PublishedFigure
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.methods import method_comparisons

_TITLE = "Accuracy against sparsity"
_TICKS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
# What is worse than the best by more stands at the lower edge: a sanity check that fails, as it
# should, must not press all others together.
_DEPTH = 0.2
# Letters of a name of which two fit side by side into a legend.
_SHORT = 50
# Told apart without colours; dotted is what is published.
_DASHES = ("--", "-.", (0, (8, 2)), (0, (4, 1, 1, 1, 1, 1)))
_CAPTION = (
    "Each mark is a configuration, the mean over its seeds; bars are the 95 % interval that the "
    "number of test images allows (Wilson). Marks of one kind are joined. Horizontal lines: no "
    "weight pruned. A mark on the lower edge lies below it."
)


def frontier_section(findings: Findings) -> Iterator[Block]:
    """The figure; none if nothing was pruned."""
    series, complete = _curves(findings)
    if not series:
        return
    flat = [row for row in findings.rows if not row.pruned]
    published = findings.published
    columns = 2 if all(len(name) <= _SHORT for name in (*series, *(f.name for f in flat))) else 1

    def draw(canvas: Canvas) -> None:
        panels = canvas.subplots(2, 1, sharey=True)
        for axes, name, live in zip(panels, ("nominal", "live"), (False, True), strict=True):
            _panel(axes, series, flat, published, live=live)
            axes.set_xlabel(f"{name} {plotting.SPARSITY_LABEL}")
            axes.set_ylabel("test accuracy (%)")
        handles, words = panels[0].get_legend_handles_labels()
        canvas.legend(handles, words, loc="outside lower left", ncols=columns)

    caption = _CAPTION
    if not complete:
        caption += " What was measured at one sparsity only, beside others, is in the next section."
    if published:
        caption += f" {published.caption}"
    height = 6.5 + 0.17 * -(-(len(series) + len(flat) + 2) // columns)
    yield plotting.draw_figure("frontier", _TITLE, caption, height, draw)


def _curves(findings: Findings) -> tuple[dict[str, list[ResultRow]], bool]:
    """Curves, and if they are all: a lone mark among many is left to its sparsity's figure."""
    series: dict[str, list[ResultRow]] = {}
    for row in findings.rows:
        if row.group and row.pruned:
            series.setdefault(row.group.series, []).append(row)
    compared = {row.name for methods in method_comparisons(findings) for row in methods.rows}
    curves = {
        name: rows for name, rows in series.items() if len(rows) > 1 or rows[0].name not in compared
    }
    return (curves, len(curves) == len(series)) if curves else (series, True)


def _panel(
    axes: Axes,
    series: dict[str, list[ResultRow]],
    flat: list[ResultRow],
    published: Published | None,
    *,
    live: bool,
) -> None:
    def density(row: ResultRow | PublishedFigure) -> float:
        return 1 - (row.live_sparsity if live else row.sparsity)

    everything = [row for rows in series.values() for row in rows]
    best = max(row.accuracy.mean for row in [*flat, *everything])
    floor = best - _DEPTH
    for index, (name, curve) in enumerate(series.items()):
        rows = sorted((row for row in curve if density(row) > 0), key=density, reverse=True)
        xs, ys = [density(row) for row in rows], [row.accuracy.mean for row in rows]
        below = [y for y in ys if y < floor]
        words = f"{name} (below: {', '.join(f'{100 * y:.1f} %' for y in below)})" if below else name
        style = plotting.series_style(index)
        bars = [*zip(*(row.bars for row in rows), strict=True)]
        axes.errorbar(xs, ys, bars, label=words, **plotting.ERROR_BARS, **style)
        for x, y in zip(xs, ys, strict=True):
            if y < floor:
                axes.plot(x, floor, clip_on=False, **style)
    for row, dashes in zip(flat, cycle(_DASHES)):
        axes.axhline(
            row.accuracy.mean, color=plotting.GREY, linestyle=dashes, linewidth=1, label=row.name
        )
    stars = published.pruned if published else ()
    highest = best
    if published:
        dense, name = published.dense.accuracy, published.name
        axes.axhline(dense, color="black", linestyle=":", linewidth=1.2, label=f"{name}: dense")
        label = f"{name}: {', '.join(star.label for star in stars)}"
        xs, ys = [density(star) for star in stars], [star.accuracy for star in stars]
        axes.plot(xs, ys, "*", markersize=13, color="black", zorder=1.5, label=label)
        highest = max([best, dense, *ys])
    densities = [x for x in (*map(density, everything), *map(density, stars)) if x > 0]
    plotting.sparsity_scale(axes, max(densities) * 1.25, min(densities) / 1.25, _TICKS)
    plotting.percent_ticks(axes.yaxis)
    if axes.get_ylim()[0] < floor:
        axes.set_ylim(floor, highest + 0.015)
