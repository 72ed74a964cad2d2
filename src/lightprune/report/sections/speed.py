"""Accuracy beside speed: the runs whose networks `lightprune bench` has timed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lightprune.bench.backends import SPARSE, STRIPPED
from lightprune.bench.result import BenchResult, Speedup, compare_medians
from lightprune.provenance import short_commit
from lightprune.rendering.document import Block, Figure, Section, Table, Text, thread_count
from lightprune.rendering.plotting import (
    GREY,
    draw_figure,
    log_ticks,
    paginate,
    percent_ticks,
    series_style,
)
from lightprune.report.findings import Findings
from lightprune.report.groups import RunGroup, criterion_name
from lightprune.report.reported_run import ReportedRun
from lightprune.report.statistics import pp_label

BATCHES = (1, 64)
_STAR: dict[str, Any] = {"linestyle": "none", "marker": "*", "markersize": 11, "color": "black"}
_CAPTION = (
    "Each mark is a run in the sparse runtime. Marks than which no other of their criterion is "
    "both cheaper and more accurate are joined, and bear their nominal sparsity (%). Dashed: the "
    "dense network. Star: where its fastest backend is; open: without the weights that no input "
    "reaches."
)


@dataclass(frozen=True)
class TimedRun:
    """A run and the speed of its network."""

    name: str
    run: ReportedRun
    bench: BenchResult


@dataclass(frozen=True)
class _Costs:
    """A measure of cost: of every run, and of the dense network with all and with live weights."""

    label: str
    runs: tuple[float, ...]
    dense: float | None
    stripped: float | None


def timed_runs(groups: Sequence[RunGroup]) -> list[TimedRun]:
    """The runs that were timed, in order."""
    return [
        TimedRun(
            f"{group.name}{f', seed {run.seed}' if len(group.runs) > 1 else ''}", run, run.bench
        )
        for group in groups
        for run in group.runs
        if run.bench
    ]


def speed_lines(groups: Sequence[RunGroup]) -> Iterator[str]:
    """How much faster each timed run is than dense backends, in a sentence."""
    for timed in timed_runs(groups):
        machine, timings = timed.bench.machine, timed.bench.timings
        threads = max(timing.threads for timing in timings)
        found = [compare_medians(threads, n, timed.bench.medians(threads, n)) for n in BATCHES]
        ratios = [f"{at.over_dense:.1f} (batch {at.batch})" for at in found if at.over_dense]
        stripped = [f"{at.over_stripped:.1f}" for at in found if at.over_stripped]
        if ratios:
            yield (
                f"Speed: **{timed.name}** ({criterion_name(timed.run.config)}; "
                f"{100 * timed.run.cost.mac_density:.1f} % of the MACs left, "
                f"{pp_label(timed.run.accuracy_change)} pp to its dense "
                f"network) is {' and '.join(ratios)} times as fast as the fastest dense backend"
                + (
                    f", {' and '.join(stripped)} times without its unreachable weights"
                    if stripped
                    else ""
                )
                + f" ({thread_count(threads)} of {machine.label})."
            )


def fastest_lines(groups: Sequence[RunGroup], margin: float) -> Iterator[str]:
    """By batch size, the most that is gained by runs that lose at most `margin` of accuracy.

    No run is named: the ratios of equal masks differ by up to a half from process to process.
    """
    near = [
        t for t in timed_runs(groups) if t.run.accuracy_change >= -margin
    ]
    for machine in dict.fromkeys(timed.bench.machine.label for timed in near):
        here = [timed.bench for timed in near if timed.bench.machine.label == machine]
        threads = max(timing.threads for bench in here for timing in bench.timings)
        best = []
        for batch in BATCHES:
            found = [
                compare_medians(threads, batch, b.medians(threads, batch)).over_dense for b in here
            ]
            if ratios := [ratio for ratio in found if ratio]:
                best.append(f"{max(ratios):.1f} (batch {batch})")
        if best:
            yield (
                f"Speed: timed runs within {100 * margin:.1f} pp of their own dense networks "
                f"are up to {' and '.join(best)} times as fast as the fastest dense backend "
                f"({thread_count(threads)} of {machine})."
            )


def speed_section(findings: Findings) -> Section:
    """Tables and a figure for each machine."""
    timed = timed_runs(findings.groups)
    blocks: list[Block] = []
    for suffix, rows in paginate(timed, len(timed) or 1, lambda row: row.bench.machine):
        blocks += [Text(_source(rows)), *_tables(rows), *_figures(rows, suffix)]
    return Section("Speed", tuple(blocks))


def _source(rows: Sequence[TimedRun]) -> str:
    machine = rows[0].bench.machine
    commits = dict.fromkeys(f"`{short_commit(row.bench.commit)}`" for row in rows)
    words = (
        f"Medians of `lightprune bench` on {machine.label}, {machine.cores} cores, commit "
        f"{', '.join(commits)}. A run's backends took turns in one process: ratios in a row hold "
        "better than milliseconds between rows."
    )
    if seen := [a for row in rows for a in row.bench.output_checks if a.backend == SPARSE]:
        words += (
            f" Of {min(a.images for a in seen):,} images or more, the sparse runtime classifies at "
            f"most {max(a.differing for a in seen):,} otherwise than eager torch; logits differ by "
            f"at most {max(a.max_logit_difference for a in seen):.0e}."
        )
    return words


def _tables(rows: Sequence[TimedRun]) -> Iterator[Block]:
    for threads in sorted({timing.threads for row in rows for timing in row.bench.timings}):
        yield Text(f"**{thread_count(threads)}:**")
        yield Table.of(_row(row, threads) for row in rows)


def _row(timed: TimedRun, threads: int) -> dict[str, str]:
    run, cost = timed.run, timed.run.cost
    return {
        "run": timed.name,
        "criterion": criterion_name(run.config),
        "sparsity": f"{100 * cost.sparsity:.2f} %",
        "live sparsity": f"{100 * cost.live_sparsity:.2f} %",
        "MACs left": f"{100 * cost.mac_density:.1f} %",
        "test accuracy": f"{100 * run.test.accuracy:.2f} %",
        "to its dense (pp)": pp_label(run.accuracy_change),
        **latency_columns(
            compare_medians(threads, n, timed.bench.medians(threads, n)) for n in BATCHES
        ),
    }


def latency_columns(found: Iterable[Speedup]) -> dict[str, str]:
    """Columns of a table: milliseconds of the sparse runtime, and how much faster it is."""
    columns = {}
    for at in found:
        columns[f"ms, batch {at.batch}"] = f"{1e3 * at.sparse:.3g}" if at.sparse else ""
        for over, ratio in (("fastest dense", at.over_dense), ("stripped", at.over_stripped)):
            columns[f"over {over}, batch {at.batch}"] = f"{ratio:.2f}" if ratio else ""
    return columns


def _figures(rows: Sequence[TimedRun], suffix: str) -> Iterator[Figure]:
    """One for the most threads that all of them were timed with."""
    common = set.intersection(*({t.threads for t in row.bench.timings} for row in rows))
    if not common:
        return
    threads = max(common)
    panels = [*_latencies(rows, threads), _macs(rows)]

    def draw(canvas: Canvas) -> None:
        grid = canvas.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, costs in zip(grid, panels, strict=True):
            _draw(axes, rows, costs)
        grid[0].set_ylabel("test accuracy (%)")
        percent_ticks(grid[0].yaxis)
        marks = [axes.get_legend_handles_labels() for axes in grid]
        named = {label: mark for found in marks for mark, label in zip(*found, strict=True)}
        canvas.legend(
            [*named.values()], [*named], loc="outside upper center", ncols=3, frameon=False
        )

    title = f"Accuracy against latency ({thread_count(threads)}) and MACs"
    yield draw_figure(f"speed{suffix}", title, _CAPTION, 3.4, draw)


def _latencies(rows: Sequence[TimedRun], threads: int) -> Iterator[_Costs]:
    for batch in BATCHES:
        medians = [row.bench.medians(threads, batch) for row in rows]
        if all(SPARSE in found for found in medians):
            best = [compare_medians(threads, batch, found).fastest_dense for found in medians]
            # The dense network is as fast in every row, but for the noise.
            dense = [found[name] for found, name in zip(medians, best, strict=True) if name]
            stripped = [found[STRIPPED] for found in medians if STRIPPED in found]
            yield _Costs(
                f"ms, batch {batch}",
                tuple(1e3 * found[SPARSE] for found in medians),
                1e3 * median(dense) if dense else None,
                1e3 * median(stripped) if stripped else None,
            )


def _macs(rows: Sequence[TimedRun]) -> _Costs:
    run = rows[0].run
    live = sum(layer.macs // layer.weights * layer.live for layer in run.layers.values())
    left = tuple(100 * row.run.cost.mac_density for row in rows)
    return _Costs("MACs left (%)", left, 100.0, 100 * live / run.cost.macs)


def _draw(axes: Axes, rows: Sequence[TimedRun], costs: _Costs) -> None:
    names = [criterion_name(row.run.config) for row in rows]
    for number, name in enumerate(dict.fromkeys(names)):
        found = [
            (cost, row.run.test.accuracy, f"{100 * row.run.cost.sparsity:.4g}")
            for cost, row, by in zip(costs.runs, rows, names, strict=True)
            if by == name
        ]
        best = pareto_front(found)
        xs, ys, _ = zip(*found, strict=True)
        axes.plot(xs, ys, label=name, **{**series_style(number), "linestyle": "none"})
        xs, ys, _ = zip(*best, strict=True)
        axes.plot(
            xs, ys, drawstyle="steps-post", color=series_style(number)["color"], linewidth=0.8
        )
        for x, y, words in best:
            axes.annotate(words, (x, y), (-3, 4), textcoords="offset points", ha="right")
    dense = fmean(
        {row.run.dense.weights_sha256: row.run.dense.test_accuracy for row in rows}.values()
    )
    axes.axhline(dense, color=GREY, linestyle="--", linewidth=1, label="dense")
    if costs.dense:
        axes.plot(costs.dense, dense, label="fastest dense backend", **_STAR)
    if costs.stripped:
        filled = {**_STAR, "markerfacecolor": "white"}
        axes.plot(costs.stripped, dense, label="dense, unreachable weights stripped", **filled)
    axes.set_xscale("log")
    log_ticks(axes.xaxis)
    axes.margins(x=0.12, y=0.1)
    axes.set_xlabel(costs.label)


def pareto_front(found: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Those of (cost, accuracy, words) that no other beats in both, the cheapest first."""
    kept: list[tuple[float, float, str]] = []
    for at in sorted(found, key=lambda at: (at[0], -at[1])):
        if not kept or at[1] > kept[-1][1]:
            kept.append(at)
    return kept
