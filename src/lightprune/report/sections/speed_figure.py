"""Accuracy against latency and MACs, of the runs whose networks were timed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lightprune.bench.backends import BACKENDS, SPARSE, STRIPPED
from lightprune.bench.result import BenchResult, Speedup, medians_of
from lightprune.rendering import plotting
from lightprune.rendering.document import Figure, thread_count
from lightprune.report.reported_run import ReportedRun
from lightprune.runs.method_label import criterion_name

BATCHES = (1, 64)
_DENSE = {backend.name for backend in BACKENDS if backend.dense}
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

    @property
    def criterion(self) -> str:
        """By which it was pruned."""
        return criterion_name(self.run.config)

    def speedups(self, threads: int) -> list[Speedup]:
        """With so many threads, one for each of `BATCHES`."""
        return [Speedup.of(self.bench.timings, threads, batch) for batch in BATCHES]


@dataclass(frozen=True)
class _Costs:
    """A measure of cost: of every run, and of the dense network with all and with live weights."""

    label: str
    runs: tuple[float, ...]
    dense: float | None
    stripped: float | None


def common_threads(benches: Iterable[BenchResult]) -> int:
    """The most with which the sparse runtime was timed wherever it ran; 0 if there is none."""
    counts = [{t.threads for t in bench.timings if t.backend == SPARSE} for bench in benches]
    timed = [threads for threads in counts if threads]
    return max(set.intersection(*timed), default=0) if timed else 0


def speed_figures(rows: Sequence[TimedRun], suffix: str) -> Iterator[Figure]:
    """One for the threads that all have in common, of the runs that the sparse runtime ran."""
    rows = [row for row in rows if any(t.backend == SPARSE for t in row.bench.timings)]
    threads = common_threads(row.bench for row in rows)
    panels = [*_latencies(rows, threads), *_macs(rows)] if threads else []
    if not panels:
        return

    def draw(canvas: Canvas) -> None:
        grid = canvas.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for axes, costs in zip(grid, panels, strict=True):
            _draw(axes, rows, costs)
        grid[0].set_ylabel("test accuracy (%)")
        plotting.percent_ticks(grid[0].yaxis)
        plotting.top_legend(canvas, grid, 3)

    title = f"Accuracy against latency ({thread_count(threads)}) and MACs"
    yield plotting.draw_figure(f"speed{suffix}", title, _CAPTION, 3.4, draw)


def _latencies(rows: Sequence[TimedRun], threads: int) -> Iterator[_Costs]:
    for batch in BATCHES:
        medians = [medians_of(row.bench.timings, threads, batch) for row in rows]
        if all(SPARSE in seconds for seconds in medians):
            # The dense network is as fast in every row, but for the noise.
            dense = [
                min(seconds[name] for name in _DENSE if name in seconds)
                for seconds in medians
                if _DENSE & seconds.keys()
            ]
            stripped = [seconds[STRIPPED] for seconds in medians if STRIPPED in seconds]
            yield _Costs(
                f"ms, batch {batch}",
                tuple(1e3 * seconds[SPARSE] for seconds in medians),
                1e3 * median(dense) if dense else None,
                1e3 * median(stripped) if stripped else None,
            )


def _macs(rows: Sequence[TimedRun]) -> Iterator[_Costs]:
    """Nothing if those of a run are unknown."""
    reached = rows[0].run.reached_mac_share
    known = [share for row in rows if (share := row.run.cost.mac_density) is not None]
    if reached is not None and len(known) == len(rows):
        percent = tuple(100 * share for share in known)
        yield _Costs("MACs left (%)", percent, 100.0, 100 * reached)


def _draw(axes: Axes, rows: Sequence[TimedRun], costs: _Costs) -> None:
    for number, criterion in enumerate(dict.fromkeys(row.criterion for row in rows)):
        marks = [
            (cost, row.run.test.accuracy, f"{100 * row.run.cost.sparsity:.4g}")
            for cost, row in zip(costs.runs, rows, strict=True)
            if row.criterion == criterion
        ]
        style, front = plotting.series_style(number), pareto_front(marks)
        xs, ys, _ = zip(*marks, strict=True)
        axes.plot(xs, ys, label=criterion, **{**style, "linestyle": "none"})
        xs, ys, _ = zip(*front, strict=True)
        axes.plot(xs, ys, drawstyle="steps-post", color=style["color"], linewidth=0.8)
        for x, y, sparsity in front:
            axes.annotate(sparsity, (x, y), (-3, 4), textcoords="offset points", ha="right")
    accuracies = {row.run.dense.weights_sha256: row.run.dense.test_accuracy for row in rows}
    dense = fmean(accuracies.values())
    axes.axhline(dense, color=plotting.GREY, linestyle="--", linewidth=1, label="dense")
    if costs.dense:
        axes.plot(costs.dense, dense, label="fastest dense backend", **_STAR)
    if costs.stripped:
        filled = {**_STAR, "markerfacecolor": "white"}
        axes.plot(costs.stripped, dense, label="dense, unreachable weights stripped", **filled)
    axes.set_xscale("log")
    plotting.log_ticks(axes.xaxis)
    axes.margins(x=0.12, y=0.1)
    axes.set_xlabel(costs.label)


def pareto_front(marks: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Those of (cost, accuracy, words) that no other beats in both, the cheapest first."""
    front: list[tuple[float, float, str]] = []
    for mark in sorted(marks, key=lambda mark: (mark[0], -mark[1])):
        if not front or mark[1] > front[-1][1]:
            front.append(mark)
    return front
