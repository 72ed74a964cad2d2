"""Accuracy against sparsity, nominal and live, with the study's points."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lightprune.report.cells import Cell
from lightprune.report.document import Figure
from lightprune.report.figures.style import GREY, apart, drawn, look, percents
from lightprune.report.published import FIGURES, Published, comparable
from lightprune.report.results import Row
from lightprune.report.statistics import wilson

_TICKS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
# What is worse than the best by more stands at the lower edge: a sanity check that fails, as it
# should, must not press all others together.
_DEPTH = 0.2
_LEADER = {"arrowstyle": "-", "relpos": (0, 0.5), "linewidth": 0.7}


@dataclass(frozen=True)
class _Label:
    """A name at the right edge, level with the point that it belongs to."""

    x: float
    y: float
    words: str
    colour: str


def frontier(cells: tuple[Cell, ...], rows: list[Row]) -> list[Figure]:
    """The figure; none if nothing was pruned."""
    pruned = [
        (cell, row)
        for cell, row in zip(cells, rows[-len(cells) :], strict=True)
        if 0 < row.sparsity < 1
    ]
    if not pruned:
        return []
    flat = [row for row in rows if not row.sparsity]
    study = FIGURES if any(comparable(cell.first) for cell in cells) else ()

    def draw(canvas: Canvas) -> None:
        top, bottom = canvas.subplots(2, 1, sharey=True)
        for axes, name, live in ((top, "nominal", False), (bottom, "live", True)):
            _panel(axes, pruned, flat, study, live=live)
            axes.set_xlabel(f"{name} sparsity (%), on a logarithmic scale of what is left")
            axes.set_ylabel("test accuracy (%)")

    caption = (
        "Each mark is a cell, the mean over its seeds; bars are the 95 % interval that the number "
        "of test images allows (Wilson). Marks of one kind are joined. Horizontal lines: nothing "
        "pruned. A mark on the lower edge lies below it."
    )
    if study:
        caption += (
            " Stars: the study's published figures; their live sparsity is computed, on the "
            "assumption that L1 took every dead weight first."
        )
    return [drawn("frontier", "Accuracy against sparsity", caption, 8.0, draw)]


def _panel(
    axes: Axes,
    pruned: list[tuple[Cell, Row]],
    flat: list[Row],
    study: tuple[Published, ...],
    *,
    live: bool,
) -> None:
    def place(row: Row | Published) -> float:
        return 1 - (row.live_sparsity if live else row.sparsity)

    labels = []
    best = max(row.accuracy.mean for row in [*flat, *(row for _, row in pruned)])
    floor = best - _DEPTH
    kinds = list(dict.fromkeys(_series(cell) for cell, _ in pruned))
    for index, kind in enumerate(kinds):
        rows = [row for cell, row in pruned if _series(cell) == kind and place(row) > 0]
        rows.sort(key=place, reverse=True)
        if not rows:
            continue
        xs, ys = [place(row) for row in rows], [row.accuracy.mean for row in rows]
        style = look(index)
        axes.errorbar(xs, ys, _bars(rows), elinewidth=0.8, capsize=2, **style)
        words = kind
        if ys[-1] < floor:
            axes.plot(xs[-1], floor, clip_on=False, **style)
            words = f"{kind}: {100 * ys[-1]:.1f}, below"
        labels.append(_Label(xs[-1], max(ys[-1], floor), words, style["color"]))
    for point in study[1:]:
        axes.plot(place(point), point.accuracy, "*", markersize=10, color="black", zorder=5)
        words = f"study: {point.label}"
        labels.append(_Label(place(point), point.accuracy, words, "black"))
    for row in flat:
        axes.axhline(row.accuracy.mean, color=GREY, linestyle="--", linewidth=0.8)
        labels.append(_Label(1.0, row.accuracy.mean, row.cell, GREY))
    if study:
        axes.axhline(study[0].accuracy, color="black", linestyle=":", linewidth=0.8)
        labels.append(_Label(1.0, study[0].accuracy, "study: dense", "black"))
    _scale(axes, [place(row) for _, row in pruned] + [place(point) for point in study[1:]])
    if axes.get_ylim()[0] < floor:
        highest = max([best, *(point.accuracy for point in study)])
        axes.set_ylim(floor, highest + 0.015)
    _write(axes, labels)


def _series(cell: Cell) -> str:
    """Cells of one kind and budget are joined."""
    kept = cell.name.partition(", ")[2]
    return f"{cell.kind}, {kept}" if "epochs" in kept and "epochs" not in cell.kind else cell.kind


def _bars(rows: list[Row]) -> list[list[float]]:
    low, high = [], []
    for row in rows:
        mean = row.accuracy.mean
        below, above = wilson(round(mean * row.images), row.images)
        low.append(max(0.0, mean - below))
        high.append(max(0.0, above - mean))
    return [low, high]


def _scale(axes: Axes, left: list[float]) -> None:
    """What is left, on a logarithmic scale, densest first, written as sparsity."""
    left = [share for share in left if share > 0]
    axes.set_xscale("log")
    axes.set_xlim(max(left) * 1.25, min(left) / 1.25)
    ticks = [t for t in _TICKS if min(left) / 1.25 <= 1 - t <= max(left) * 1.25]
    axes.set_xticks([1 - tick for tick in ticks], [f"{100 * tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    percents(axes.yaxis)


def _write(axes: Axes, labels: list[_Label]) -> None:
    """Names at the right edge, joined to their points, none over another."""
    low, high = axes.get_ylim()
    levels = apart([label.y for label in labels], 0.052 * (high - low), low, high)
    right = axes.get_xlim()[1]
    to_axes: Callable[[float], float] = lambda y: (y - low) / (high - low)  # noqa: E731
    for label, level in zip(labels, levels, strict=True):
        axes.annotate(
            label.words,
            xy=(right if label.x == 1.0 else label.x, label.y),
            xytext=(1.03, to_axes(level)),
            textcoords="axes fraction",
            color="#111111",
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "relpos": (0, 0.5),
                "color": label.colour,
                "linewidth": 0.5,
                "alpha": 0.6,
            },
        )
