"""The sparse runtime's speed-up by sparsity, as `benchmarks/speedup.py` measured it."""

from collections.abc import Iterator

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from lightprune.bench.sparsity_sweep import NetworkSweep, SparsityLevel, SparsitySweep
from lightprune.provenance import short_commit
from lightprune.rendering.document import Block, Figure, Section, Table, thread_count
from lightprune.rendering.plotting import GREY, draw_figure, log_ticks, series_style
from lightprune.report.sections.speed import latency_columns
from lightprune.report.sections.speed_figure import BATCHES


def speed_by_sparsity_section(found: SparsitySweep | None) -> Section:
    """Where it was measured, a table for every number of threads, and the figures."""
    return Section("Speed by sparsity", tuple(_blocks(found)) if found else ())


def _blocks(found: SparsitySweep) -> Iterator[Block]:
    yield (
        "Pruned by magnitude without training after it (this is about speed, not "
        f"accuracy), on {found.machine.label}, {found.machine.cores} cores, "
        f"by `{found.command}`, commit `{short_commit(found.commit)}`; medians of calls in turn in "
        f"one process. {' '.join(f'{n.name}: {n.weights}.' for n in found.networks)}"
    )
    for threads in sorted({threads for n in found.networks for threads, _ in n.thread_batches}):
        yield f"**{thread_count(threads)}:**"
        yield Table.of(_row(n, level, threads) for n in found.networks for level in n.levels)
    yield from speedup_figures(found)


def speedup_figures(found: SparsitySweep) -> Iterator[Figure]:
    """One for each network of several sparsities."""
    yield from (_figure(network) for network in found.networks if len(network.levels) > 1)


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
        marks = grid[0].get_legend_handles_labels()
        canvas.legend(*marks, loc="outside upper center", ncols=2, frameon=False)
        canvas.supxlabel("sparsity (%), on a logarithmic scale of what is left", fontsize=8)

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
    return draw_figure(f"speedup-{network.name}", "Speed-up against sparsity", caption, 3.4, draw)


def _break_even(network: NetworkSweep, threads: int, batch: int) -> str:
    found = network.break_even(threads, batch)
    if not found:
        return "not reached"
    words = f"{100 * found[0]:.0f} % ({100 * found[1]:.0f} % of the MACs)"
    return f"{'at most ' if found[0] == network.levels[0].sparsity else ''}{words}"


def _draw(axes: Axes, network: NetworkSweep, threads: int) -> None:
    left = [1 - level.sparsity for level in network.levels]
    axes.axhline(1, color=GREY, linestyle="--", linewidth=0.8)
    for number, batch in enumerate(
        batch for count, batch in network.thread_batches if count == threads
    ):
        found = [network.speedup(level, threads, batch) for level in network.levels]
        for over, line, fill in (
            ("fastest dense", "-", {}),
            ("stripped", ":", {"markerfacecolor": "white"}),
        ):
            ratios = [at.over_stripped if line == ":" else at.over_dense for at in found]
            measured = [(x, ratio) for x, ratio in zip(left, ratios, strict=True) if ratio]
            label, style = f"batch {batch}, over {over}", {**series_style(number), **fill}
            axes.plot(*map(list, zip(*measured, strict=True)), linestyle=line, label=label, **style)
    axes.set_xscale("log")
    axes.set_yscale("log")
    log_ticks(axes.yaxis)
    axes.set_xlim(max(left) * 1.2, min(left) / 1.2)
    axes.set_xticks(left, [f"{100 * level.sparsity:.4g}" for level in network.levels])
    axes.set_xticks([], minor=True)
