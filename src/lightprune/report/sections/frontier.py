"""Accuracy against sparsity, nominal and live."""

from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lightprune.rendering.document import Section
from lightprune.rendering.plotting import GREY, draw_figure, percent_ticks, series_style
from lightprune.report.findings import Findings
from lightprune.report.published import Published, PublishedFigure
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.methods import method_comparisons

_TICKS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
# What is worse than the best by more stands at the lower edge: a sanity check that fails, as it
# should, must not press all others together.
_DEPTH = 0.2
# Heights in inches: of both panels, of a line of the legend.
_PANELS, _LINE = 6.5, 0.17
# Letters of a name of which two fit side by side into a legend.
_SHORT = 50
# Told apart without colours; dotted is what is published.
_DASHES = ("--", "-.", (0, (8, 2)), (0, (4, 1, 1, 1, 1, 1)))


def frontier_section(findings: Findings) -> Section:
    """The figure; none if nothing was pruned."""
    title = "Accuracy against sparsity"
    series, complete = _curves(findings)
    if not series:
        return Section(title, ())
    flat = [row for row in findings.rows if not row.pruned]
    published = findings.published
    columns = 2 if all(len(name) <= _SHORT for name in (*series, *(f.name for f in flat))) else 1

    def draw(canvas: Canvas) -> None:
        panels = canvas.subplots(2, 1, sharey=True)
        for axes, name, live in zip(panels, ("nominal", "live"), (False, True), strict=True):
            _panel(axes, series, flat, published, live=live)
            axes.set_xlabel(f"{name} sparsity (%), on a logarithmic scale of what is left")
            axes.set_ylabel("test accuracy (%)")
        handles, words = panels[0].get_legend_handles_labels()
        canvas.legend(handles, words, loc="outside lower left", ncols=columns, frameon=False)

    caption = (
        "Each mark is a configuration, the mean over its seeds; bars are the 95 % interval that "
        "the number of test images allows (Wilson). Marks of one kind are joined. Horizontal "
        "lines: no weight pruned. A mark on the lower edge lies below it."
    )
    if not complete:
        caption += " What was measured at one sparsity only, beside others, is in the next section."
    if published:
        caption += f" {published.caption}"
    return Section(
        title,
        (
            draw_figure(
                "frontier",
                title,
                caption,
                _PANELS + _LINE * -(-(len(series) + len(flat) + 2) // columns),
                draw,
            ),
        ),
    )


def _curves(findings: Findings) -> tuple[dict[str, list[ResultRow]], bool]:
    """What is drawn, by its name, and whether that is everything.

    A lone mark among many at its sparsity is left to the figure of that sparsity.
    """
    series: dict[str, list[ResultRow]] = {}
    for row in findings.rows:
        if row.group and row.pruned:
            series.setdefault(row.group.series, []).append(row)
    crowd = {row.name for contest in method_comparisons(findings) for row in contest.rows}
    lone = {name for name, rows in series.items() if len(rows) == 1 and rows[0].name in crowd}
    kept = {name: rows for name, rows in series.items() if name not in lone}
    return (kept, not lone) if kept else (series, True)


def _panel(
    axes: Axes,
    series: dict[str, list[ResultRow]],
    flat: list[ResultRow],
    published: Published | None,
    *,
    live: bool,
) -> None:
    def place(row: ResultRow | PublishedFigure) -> float:
        return 1 - (row.live_sparsity if live else row.sparsity)

    everything = [row for rows in series.values() for row in rows]
    best = max(row.accuracy.mean for row in [*flat, *everything])
    floor = best - _DEPTH
    for index, (name, own) in enumerate(series.items()):
        rows = sorted((row for row in own if place(row) > 0), key=place, reverse=True)
        xs, ys = [place(row) for row in rows], [row.accuracy.mean for row in rows]
        below = [y for y in ys if y < floor]
        words = f"{name} (below: {', '.join(f'{100 * y:.1f} %' for y in below)})" if below else name
        style = series_style(index)
        bars = [*zip(*(row.bars for row in rows), strict=True)]
        axes.errorbar(xs, ys, bars, elinewidth=0.8, capsize=2, label=words, **style)
        for x, y in zip(xs, ys, strict=True):
            if y < floor:
                axes.plot(x, floor, clip_on=False, **style)
    for row, dashes in zip(flat, cycle(_DASHES)):
        axes.axhline(row.accuracy.mean, color=GREY, linestyle=dashes, linewidth=1, label=row.name)
    stars = published.pruned if published else ()
    highest = best
    if published:
        dense, name = published.dense.accuracy, published.name
        axes.axhline(dense, color="black", linestyle=":", linewidth=1.2, label=f"{name}: dense")
        label = f"{name}: {', '.join(star.label for star in stars)}"
        xs, ys = [place(star) for star in stars], [star.accuracy for star in stars]
        axes.plot(xs, ys, "*", markersize=13, color="black", zorder=1.5, label=label)
        highest = max([best, dense, *ys])
    _scale(axes, [*map(place, everything), *map(place, stars)])
    if axes.get_ylim()[0] < floor:
        axes.set_ylim(floor, highest + 0.015)


def _scale(axes: Axes, left: list[float]) -> None:
    """What is left, on a logarithmic scale, densest first, written as sparsity."""
    left = [share for share in left if share > 0]
    axes.set_xlim(max(left) * 1.25, min(left) / 1.25)
    axes.set_xscale("log")
    ticks = [t for t in _TICKS if min(left) / 1.25 <= 1 - t <= max(left) * 1.25]
    axes.set_xticks([1 - tick for tick in ticks], [f"{100 * tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    percent_ticks(axes.yaxis)
