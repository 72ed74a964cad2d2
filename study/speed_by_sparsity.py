"""The sparse runtime's speed-up by sparsity, as `benchmarks/speedup.py` measured it."""

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lightprune.bench.sparsity_sweep import NetworkSweep, SparsityLevel, SparsitySweep
from lightprune.provenance import short_commit
from lightprune.rendering import plotting
from lightprune.rendering.document import Block, Figure, Table, thread_count
from lightprune.report.sections.speed import latency_columns
from lightprune.report.sections.speed_figure import BATCHES


def speed_by_sparsity_section(sweep: SparsitySweep | None) -> Iterator[Block]:
    """Where it was measured, a table for every number of threads, and the figures."""
    if not sweep:
        return
    yield (
        "Pruned by magnitude without training after it (this is about speed, not "
        f"accuracy), on {sweep.machine.label}, {sweep.machine.cores} cores, "
        f"by `{sweep.command}`, commit `{short_commit(sweep.commit)}`; medians of calls in turn in "
        f"one process. {' '.join(f'{n.name}: {n.weights}.' for n in sweep.networks)}"
    )
    for threads in sorted({threads for n in sweep.networks for threads, _ in n.thread_batches}):
        yield f"**{thread_count(threads)}:**"
        yield Table.of(_row(n, level, threads) for n in sweep.networks for level in n.levels)
    yield from speedup_figures(sweep)


def speedup_figures(sweep: SparsitySweep) -> Iterator[Figure]:
    """One for each network of several sparsities."""
    yield from (_figure(network) for network in sweep.networks if len(network.levels) > 1)


def _row(network: NetworkSweep, level: SparsityLevel, threads: int) -> dict[str, str]:
    return {
        "network": network.name,
        "sparsity": f"{100 * level.sparsity:.4g} %",
        "live sparsity": f"{100 * level.live_sparsity:.1f} %",
        "MACs left": f"{100 * level.mac_density:.1f} %",
        "largest Δ logit": f"{level.max_logit_difference:.0e} of {level.max_logit:.2g}",
        **latency_columns(network.speedup(level, threads, batch) for batch in BATCHES),
    }


def _figure(network: NetworkSweep) -> Figure:
    counts = sorted({threads for threads, _ in network.thread_batches})

    def draw(canvas: Canvas) -> None:
        grid = canvas.subplots(1, len(counts), sharey=True, squeeze=False)[0]
        for axes, threads in zip(grid, counts, strict=True):
            _draw(axes, network, threads)
            axes.set_title(thread_count(threads))
        grid[0].set_ylabel("speed-up")
        plotting.top_legend(canvas, grid[:1], 2)
        canvas.supxlabel(plotting.SPARSITY_LABEL)

    even = "; ".join(
        f"{thread_count(threads)}, batch {batch}: {_break_even(network, threads, batch)}"
        for threads, batch in sorted(network.thread_batches)
    )
    caption = (
        f"{network.name}, {network.weights}. How much faster the sparse runtime is than the "
        "fastest dense backend (filled) and than the dense network without the weights that no "
        f"input reaches (open). Break-even with the fastest dense backend: {even} (times "
        "interpolated between the sparsities measured)."
    )
    return plotting.draw_figure(
        f"speedup-{network.name}", "Speed-up against sparsity", caption, 3.4, draw
    )


def _break_even(network: NetworkSweep, threads: int, batch: int) -> str:
    point = network.break_even(threads, batch)
    if not point:
        return "not reached"
    sparsity, mac_density = point
    at_most = "at most " if sparsity == network.levels[0].sparsity else ""
    return f"{at_most}{100 * sparsity:.0f} % ({100 * mac_density:.0f} % of the MACs)"


def _draw(axes: Axes, network: NetworkSweep, threads: int) -> None:
    density = [1 - level.sparsity for level in network.levels]
    axes.axhline(1, color=plotting.GREY, linestyle="--", linewidth=0.8)
    for number, batch in enumerate(
        batch for count, batch in network.thread_batches if count == threads
    ):
        speedups = [network.speedup(level, threads, batch) for level in network.levels]
        for over, line, fill in (
            ("fastest dense", "-", {}),
            ("stripped", ":", {"markerfacecolor": "white"}),
        ):
            ratios = [at.over_stripped if line == ":" else at.over_dense for at in speedups]
            measured = [(x, ratio) for x, ratio in zip(density, ratios, strict=True) if ratio]
            label, style = f"batch {batch}, over {over}", {**plotting.series_style(number), **fill}
            axes.plot(*map(list, zip(*measured, strict=True)), linestyle=line, label=label, **style)
    axes.set_yscale("log")
    plotting.log_ticks(axes.yaxis)
    sparsities = [level.sparsity for level in network.levels]
    plotting.sparsity_scale(axes, max(density) * 1.2, min(density) / 1.2, sparsities)
