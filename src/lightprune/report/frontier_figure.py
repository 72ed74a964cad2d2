"""Test accuracy against what a network costs: the marks, the controls, the frontier."""

from collections.abc import Callable, Iterable, Sequence
from urllib.parse import quote

from lightprune.bench.backends import SPARSE
from lightprune.bench.result import medians_of
from lightprune.rendering.chart import (
    STYLES,
    Axis,
    Band,
    Mark,
    Series,
    number_axis,
    xy_chart,
)
from lightprune.rendering.number_format import counted, percent
from lightprune.rendering.svg import standalone
from lightprune.report.result_table import ResultRow

Cost = Callable[[ResultRow], float | None]

# What is worse than the best by more stands on the lower edge: a sanity check that fails, as it
# should, must not press all others together.
_DEPTH = 0.08
_SPARSITIES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
_BANDS = 2


def frontier_svg(rows: Sequence[ResultRow]) -> str:
    """The figure as an SVG file on white; empty if no pruned network's MACs are known."""
    svg = frontier_charts(rows).get("MACs", "")
    return standalone(svg) if svg else ""


def frontier_charts(rows: Sequence[ResultRow]) -> dict[str, str]:
    """The figure over each axis on which these runs have values, by the axis' name."""
    timed, words = latencies(rows)
    kinds: dict[str, tuple[Axis | None, Cost]] = {
        "MACs": (_mac_axis(rows), lambda row: row.mac_density),
        "latency": (_latency_axis(timed, words), lambda row: timed.get(row.name)),
        "sparsity": (
            _sparsity_axis("sparsity", [row.sparsity for row in rows if row.pruned]),
            lambda row: 1 - row.sparsity,
        ),
        "live sparsity": (
            _sparsity_axis("live sparsity", [row.live_sparsity for row in rows if row.pruned]),
            lambda row: 1 - row.live_sparsity,
        ),
    }
    charts = {
        name: _chart(rows, axis, cost, f"Test accuracy against {name}")
        for name, (axis, cost) in kinds.items()
    }
    return {name: svg for name, svg in charts.items() if svg}


def _mac_axis(rows: Sequence[ResultRow]) -> Axis | None:
    shares = [row.mac_density for row in rows if row.pruned and row.mac_density]
    if not shares:
        return None
    axis = number_axis("MACs left (%), on a logarithmic scale", shares, log=True, unit=0.01)
    return Axis(axis.label, axis.end, axis.start, axis.ticks, log=True)


def _chart(rows: Sequence[ResultRow], axis: Axis | None, cost: Cost, title: str) -> str:
    pruned = [row for row in rows if row.pruned and cost(row)]
    if not axis or not pruned:
        return ""
    bands = [_band(row) for row in baselines(rows)]
    floor = max(row.accuracy.mean for row in (*pruned, *baselines(rows))) - _DEPTH
    shown = [row for row in pruned if row.accuracy.mean >= floor]
    heights = [end for row in (*shown, *baselines(rows)) for end in row.interval]
    accuracy = number_axis("test accuracy (%)", heights, unit=0.01)
    styles = _styles(rows)
    series = []
    for name in dict.fromkeys(row.series for row in pruned):
        members = [(cost(row) or 1.0, row) for row in pruned if row.series == name]
        members.sort(key=lambda pair: -pair[0])
        series.append(Series(name, tuple(_mark(row, x) for x, row in members), styles.get(name)))
    front = outline((cost(row) or 1.0, row.accuracy.mean) for row in shown)
    return xy_chart(title, axis, accuracy, series, bands, front)


def baselines(rows: Sequence[ResultRow]) -> list[ResultRow]:
    """The controls; without any, the dense networks."""
    flat = [row for row in rows if not row.pruned]
    return ([row for row in flat if row.group] or flat)[:_BANDS]


def latencies(rows: Sequence[ResultRow]) -> tuple[dict[str, float], str]:
    """Milliseconds an image by row, of the machine and threads that timed the most; in words."""
    timed: dict[tuple[str, int], dict[str, float]] = {}
    for row in (row for row in rows if row.pruned):
        for bench in [run.bench for run in row.runs if run.bench][:1]:
            threads = max((t.threads for t in bench.timings if t.backend == SPARSE), default=0)
            seconds = medians_of(bench.timings, threads, 1).get(SPARSE)
            if seconds:
                place = timed.setdefault((bench.machine.label, threads), {})
                place[row.name] = 1e3 * seconds
    if not timed:
        return {}, ""
    machine, threads = max(timed, key=lambda key: len(timed[key]))
    return timed[machine, threads], f"{counted(threads, 'thread')} of {machine}"


def _latency_axis(timed: dict[str, float], words: str) -> Axis | None:
    if len(timed) < 2:
        return None
    label = f"ms an image at batch 1, {words}, on a logarithmic scale"
    axis = number_axis(label, timed.values(), log=True)
    return Axis(axis.label, axis.end, axis.start, axis.ticks, log=True)


def _sparsity_axis(name: str, sparsities: Iterable[float]) -> Axis | None:
    left = [1 - sparsity for sparsity in sparsities if sparsity < 1]
    if not left:
        return None
    start, end = max(left) * 1.15, min(left) / 1.15
    ticks = ((1 - at, f"{100 * at:.6g}") for at in _SPARSITIES)
    within = tuple((at, label) for at, label in ticks if end <= at <= start)
    return Axis(f"{name} (%), on a logarithmic scale of what is left", start, end, within, log=True)


def _styles(rows: Sequence[ResultRow]) -> dict[str, int]:
    """Of the series that tell the most: of several sparsities, on the frontier, accurate.

    None of a series whose marks all lie on those of another that has one: it would hide them.
    """
    series: dict[str, list[ResultRow]] = {}
    for row in rows:
        if row.pruned:
            series.setdefault(row.series, []).append(row)

    def mark(row: ResultRow) -> tuple[float, float]:
        return row.mac_density or 1 - row.sparsity, row.accuracy.mean

    front = set(outline(mark(row) for row in rows if row.pruned))

    def worth(name: str) -> tuple[int, int, float]:
        members = series[name]
        on_it = sum(mark(row) in front for row in members)
        return min(len(members), 2), on_it, max(row.accuracy.mean for row in members)

    chosen, drawn = list[str](), set[tuple[float, float]]()
    for name in sorted(series, key=worth, reverse=True):
        marks = {mark(row) for row in series[name]}
        if len(chosen) < STYLES and not marks <= drawn:
            chosen.append(name)
            drawn |= marks
    # In the order of the table: a series keeps its style from axis to axis.
    return {name: n for n, name in enumerate(name for name in series if name in chosen)}


def outline(marks: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those of (cost, accuracy) that no other beats in both, the cheapest last."""
    front: list[tuple[float, float]] = []
    for mark in sorted(marks, key=lambda mark: (mark[0], -mark[1])):
        if not front or mark[1] > front[-1][1]:
            front.append(mark)
    return front[::-1]


def _mark(row: ResultRow, cost: float) -> Mark:
    low, high = row.interval
    words = (
        f"{row.name}\n{row.accuracy.percent} (95 % interval {100 * low:.1f} to {100 * high:.1f}), "
        f"seed {row.seeds}\n{percent(row.mac_density, 1)} of the MACs, live sparsity "
        f"{percent(row.live_sparsity)}"
    )
    return Mark(cost, row.accuracy.mean, words, low, high, f"../{quote(row.first.folder)}")


def _band(row: ResultRow) -> Band:
    low, high = row.interval
    return Band(f"{row.name}: {row.accuracy.percent}", low, row.accuracy.mean, high)
