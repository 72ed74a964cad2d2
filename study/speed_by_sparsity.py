"""The sparse runtime's speed-up by sparsity, as `benchmarks/speedup.py` measured it."""

from collections.abc import Iterator

from lightprune.provenance import short_commit
from lightprune.rendering.chart import Axis, Mark, Series, number_axis, xy_chart
from lightprune.rendering.document import Block, Figure, Table
from lightprune.rendering.number_format import counted, percent, percent_label
from lightprune.rendering.svg import chart_figure
from lightprune.report.sections.speed import BATCHES, latency_columns
from study.sparsity_sweep import NetworkSweep, SparsityLevel, SparsitySweep


def speed_by_sparsity_section(sweep: SparsitySweep | None) -> Iterator[Block]:
    """Where it was measured, a table with the most threads, and the figures."""
    if not sweep:
        return
    threads = max(threads for n in sweep.networks for threads, _ in n.thread_batches)
    yield (
        "Pruned by magnitude without training after it (this is about speed, not "
        f"accuracy), with {counted(threads, 'thread')} on {sweep.machine.label}, "
        f"{sweep.machine.cores} cores, by `{sweep.command}`, commit "
        f"`{short_commit(sweep.commit)}`; medians of calls in turn in one process. "
        "MACs left: without those of weights that no input reaches. "
        f"{' '.join(f'{n.name}: {n.weights}.' for n in sweep.networks)}"
    )
    yield Table.of(_row(n, level, threads) for n in sweep.networks for level in n.levels)
    yield from speedup_figures(sweep)


def speedup_figures(sweep: SparsitySweep) -> Iterator[Figure]:
    """One for each network of several sparsities."""
    yield from (_figure(network) for network in sweep.networks if len(network.levels) > 1)


def _row(network: NetworkSweep, level: SparsityLevel, threads: int) -> dict[str, str]:
    return {
        "network": network.name,
        "sparsity": percent_label(level.sparsity),
        "live sparsity": percent(level.live_sparsity, 1),
        "MACs left": percent(level.mac_density, 1),
        "largest Δ logit": f"{level.max_logit_difference:.0e} of {level.max_logit:.2g}",
        **latency_columns(network.speedup(level, threads, batch) for batch in BATCHES),
    }


def _figure(network: NetworkSweep) -> Figure:
    threads = max(threads for threads, _ in network.thread_batches)
    series: list[Series] = []
    for batch in (batch for count, batch in network.thread_batches if count == threads):
        for over in ("dense", "stripped"):
            speedups = [(level, network.speedup(level, threads, batch)) for level in network.levels]
            ratios = [(level, getattr(at, f"over_{over}")) for level, at in speedups]
            marks = tuple(
                Mark(1 - level.sparsity, ratio, f"{percent_label(level.sparsity)}: {ratio:.2f} x")
                for level, ratio in ratios
                if ratio
            )
            words = f"batch {batch}, over {'fastest dense' if over == 'dense' else over}"
            series += [Series(words, marks, len(series) % 6)] if marks else []
    even = "; ".join(
        f"{counted(threads, 'thread')}, batch {batch}: {_break_even(network, threads, batch)}"
        for threads, batch in sorted(network.thread_batches)
    )
    caption = (
        f"{network.name}, {network.weights}, {counted(threads, 'thread')}. How much faster the "
        "sparse runtime is than the fastest dense backend, and than the dense network stripped of "
        "the weights that no input reaches. Break-even with the fastest dense backend: "
        f"{even} (times interpolated between the sparsities measured)."
    )
    left = [1 - level.sparsity for level in network.levels]
    ticks = tuple((1 - at.sparsity, f"{100 * at.sparsity:.4g}") for at in network.levels)
    label = "sparsity (%), on a logarithmic scale of what is left"
    x = Axis(label, max(left) * 1.1, min(left) / 1.1, ticks, log=True)
    heights = [mark.y for each in series for mark in each.marks]
    y = number_axis("speed-up", [1.0, *heights], log=True)
    title = "Speed-up against sparsity"
    return chart_figure(f"speedup-{network.name}", title, caption, xy_chart(title, x, y, series))


def _break_even(network: NetworkSweep, threads: int, batch: int) -> str:
    point = network.break_even(threads, batch)
    if not point:
        return "not reached"
    sparsity, mac_density = point
    at_most = "at most " if sparsity == network.levels[0].sparsity else ""
    return f"{at_most}{percent(sparsity, 0)} ({percent(mac_density, 0)} of the MACs)"
