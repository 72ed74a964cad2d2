"""The figure of a bench: latency of every backend by batch size, and speed-ups."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter

from lightprune.bench.backends import SPARSE
from lightprune.bench.result import BenchResult
from lightprune.rendering.document import Figure
from lightprune.rendering.number_format import counted
from lightprune.rendering.plotting import COLOURS, GREY, draw_figure, series_style

# The sparse runtime has the first colour, whichever backends are beside it.
_SPARSE_STYLE = 0
_CAPTION = (
    "Above: milliseconds an image, the median of calls in turn (a line up to the p90). Below: how "
    "much faster the sparse runtime is than the fastest dense backend at each batch, and than the "
    "dense network without its unreachable weights."
)


def bench_figure(result: BenchResult) -> Figure:
    """A column of panels for every number of threads."""

    def draw(canvas: Canvas) -> None:
        threads = list(dict.fromkeys(timing.threads for timing in result.timings))
        grid = canvas.subplots(
            2,
            len(threads),
            squeeze=False,
            sharex=True,
            sharey="row",
            gridspec_kw={"height_ratios": (3, 2)},
        )
        batches = list(dict.fromkeys(timing.batch for timing in result.timings))
        for column, count in enumerate(threads):
            _times(grid[0][column], result, count, batches)
            _speedups(grid[1][column], result, count, batches)
            grid[1][column].set_xlabel("images a batch")
            grid[0][column].set_title(counted(count, "thread"))
        grid[0][0].set_ylabel("ms an image")
        grid[1][0].set_ylabel("speed-up")
        above, below = (panels[0].get_legend_handles_labels() for panels in grid)
        canvas.legend(*above, loc="outside upper center", ncols=3)
        canvas.legend(*below, loc="outside lower center", ncols=2)

    return draw_figure("bench", "Speed of every backend", _CAPTION, 5.4, draw)


def _times(axes: Axes, result: BenchResult, threads: int, batches: list[int]) -> None:
    number = _SPARSE_STYLE
    for name, label in result.backends.items():
        sparse = name == SPARSE
        number += not sparse
        style = series_style(_SPARSE_STYLE if sparse else number)
        timings = [t for t in result.timings if (t.backend, t.threads) == (name, threads)]
        style |= {"linewidth": 2.2, "zorder": 4} if sparse else {"linewidth": 1.0, "zorder": 3}
        xs = [batches.index(t.batch) for t in timings]
        ys = [1e3 * t.median / t.batch for t in timings]
        above = [1e3 * max(t.p90 - t.median, 0.0) / t.batch for t in timings]
        bars = [[0.0] * len(above), above]
        axes.errorbar(xs, ys, bars, elinewidth=0.8, label=label, **style)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xticks(range(len(batches)), [str(batch) for batch in batches])


def _speedups(axes: Axes, result: BenchResult, threads: int, batches: list[int]) -> None:
    axes.axhline(1, color=GREY, linestyle="--", linewidth=0.8)
    colour = COLOURS[_SPARSE_STYLE]
    for field, label, filled in (
        ("over_dense", "over the fastest dense backend", True),
        ("over_stripped", "over the dense network, unreachable weights stripped", False),
    ):
        ratios = {s.batch: getattr(s, field) for s in result.speedups if s.threads == threads}
        points = {batches.index(batch): ratio for batch, ratio in ratios.items() if ratio}
        style: dict[str, Any] = {"color": colour, "markerfacecolor": colour if filled else "white"}
        axes.plot([*points], [*points.values()], "o-" if filled else "o:", label=label, **style)
        for x, y in points.items():
            offset = (0, 5 if filled else -11)
            axes.annotate(f"{y:.1f}", (x, y), offset, textcoords="offset points", ha="center")
    highest = max((s.over_dense or 1.0 for s in result.speedups), default=1.0)
    axes.set_ylim(0, 1.2 * max(highest, 1.0))
