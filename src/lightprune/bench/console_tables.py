"""What a bench prints: speed, what the engines say, sizes, and where the time goes."""

from collections.abc import Iterable, Iterator

from rich.table import Table

from lightprune.bench.op_profile import BatchProfile, OpTiming
from lightprune.bench.output_check import NEAR_TIE
from lightprune.bench.result import BenchResult


def bench_tables(result: BenchResult) -> Iterator[Table | str]:
    """Everything to print, in order."""
    for threads in dict.fromkeys(timing.threads for timing in result.timings):
        yield _speed(result, threads)
    if result.agreements:
        yield _agreement(result)
    yield _sizes(result)
    if result.layers:
        yield from (_layers(unit, result.layers.peak) for unit in result.layers.units)
    cost = result.cost
    yield (
        f"sparsity {cost.sparsity:.2%} nominal, {cost.live_sparsity:.2%} live; MACs an image: "
        f"{cost.macs:,} dense, {cost.macs_live:,} of live non-zero weights "
        f"({cost.mac_density:.1%}), {result.runtime_macs:,} in the sparse runtime"
    )
    if result.startup:
        cold, warm = result.startup.cold, result.startup.warm
        yield (
            f"sparse runtime: loads in {warm.load:.3f} s (after {warm.imports:.1f} s of imports), "
            f"first call {warm.first_call:.2f} s, or {cold.first_call:.1f} s where nothing is "
            "compiled yet"
        )
    for name, reason in result.left_out.items():
        yield f"left out: {name}: {reason}"


def _table(title: str, columns: Iterable[str], rows: Iterable[tuple[str, ...]]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    return table


def _speed(result: BenchResult, threads: int) -> Table:
    timings = [timing for timing in result.timings if timing.threads == threads]
    speedups = [speedup for speedup in result.speedups if speedup.threads == threads]
    columns = ["", *(f"batch {speedup.batch}" for speedup in speedups)]
    labels = {engine.name: engine.label for engine in result.engines}
    rows = []
    for name, label in labels.items():
        cells = [t for t in timings if t.engine == name]
        rows.append((label, *(f"{_ms(t.median)} ({_ms(t.p90)})" for t in cells)))
    table = _table(f"ms a batch, {threads} thread(s): median (p90)", columns, rows)
    table.add_section()
    table.add_row("fastest dense", *(labels.get(s.fastest_dense or "", "") for s in speedups))
    table.add_row("sparse runtime over it", *(_times(s.over_dense) for s in speedups))
    table.add_row("  over dead taps stripped", *(_times(s.over_stripped) for s in speedups))
    return table


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:.0f}"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}x"


def _agreement(result: BenchResult) -> Table:
    labels = {engine.name: engine.label for engine in result.engines}
    rows = [
        (
            labels.get(found.engine, found.engine),
            f"{found.images:,}",
            "" if found.accuracy is None else f"{found.accuracy:.2%}",
            f"{found.differing:,}",
            f"{found.close:,}",
            f"{found.largest_difference:.1e}",
        )
        for found in result.agreements
    ]
    columns = ("", "images", "accuracy", "differ", "close", "max |Δ logit|")
    title = (
        f"{result.examples}: predictions that differ from eager torch's, those of them whose top "
        f"two logits are within {NEAR_TIE:g}"
    )
    return _table(title, columns, rows)


def _sizes(result: BenchResult) -> Table:
    rows = [(name, f"{size / 1e6:.3f} MB") for name, size in result.sizes.items()]
    return _table("file", ("", "size"), rows)


def _layers(unit: BatchProfile, peak: float) -> Table:
    def row(found: OpTiming) -> tuple[str, ...]:
        density = "" if found.density is None else f"{found.density:.1%}"
        rate = f"{found.rate / 1e9:.1f}" if found.flops else ""
        share = f"{found.rate / peak:.0%}" if found.flops else ""
        return found.what, density, found.grouping, f"{1e6 * found.seconds:.1f}", rate, share

    columns = ("operation", "density", "group", "µs", "GFLOP/s", "of peak")
    title = f"{unit.images} image(s) on one core, peak {peak / 1e9:.0f} GFLOP/s"
    table = _table(title, columns, map(row, unit.operations))
    table.add_section()
    rate = sum(o.flops for o in unit.operations) / unit.seconds
    whole = (f"{1e6 * unit.seconds:.1f}", f"{rate / 1e9:.1f}", f"{rate / peak:.0%}")
    table.add_row("whole network", "", "", *whole)
    return table
