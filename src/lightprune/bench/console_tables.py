"""The console tables of a bench: speed, output checks, file sizes, time by operation."""

from collections.abc import Iterator

from rich.table import Table

from lightprune.bench.output_check import NEAR_TIE
from lightprune.bench.result import BatchProfile, BenchResult, OpTiming
from lightprune.rendering.console_table import console_table
from lightprune.rendering.number_format import counted, milliseconds


def bench_tables(result: BenchResult) -> Iterator[Table | str]:
    """Yields everything to print, in order."""
    for threads in dict.fromkeys(timing.threads for timing in result.timings):
        yield _speed(result, threads)
    if result.output_checks:
        yield _output_checks(result)
    sizes = ((name, f"{size / 1e6:.3f} MB") for name, size in result.sizes.items())
    yield console_table("file", ("", "size"), sizes)
    if result.profile:
        yield from (_operations(batch, result.profile.peak) for batch in result.profile.batches)
    cost = result.cost
    weights = "unknown of the weights"
    if cost.mac_density is not None:
        weights = f"{cost.macs:,} dense, {cost.macs_live:,} of live non-zero weights"
        weights += f" ({cost.mac_density:.1%})"
    runtime = result.runtime_macs
    yield (
        f"sparsity {cost.sparsity:.2%} nominal, {cost.live_sparsity:.2%} live; MACs an image: "
        f"{weights}{'' if runtime is None else f', {runtime:,} in the sparse runtime'}"
    )
    if result.startup:
        cold, warm = result.startup.cold, result.startup.warm
        yield (
            f"sparse runtime: loads in {warm.load:.3f} s (after {warm.imports:.1f} s of imports), "
            f"first call {warm.first_call:.2f} s, or {cold.first_call:.1f} s where nothing is "
            "compiled yet"
        )
    for reason in dict.fromkeys(result.skipped.values()):
        names = [name for name, other in result.skipped.items() if other == reason]
        yield f"skipped: {', '.join(names)}: {reason}"


def _speed(result: BenchResult, threads: int) -> Table:
    timings = [timing for timing in result.timings if timing.threads == threads]
    speedups = [speedup for speedup in result.speedups if speedup.threads == threads]
    columns = ["", *(f"batch {speedup.batch}" for speedup in speedups)]
    labels = result.backends
    rows = [
        (
            label,
            *(
                f"{milliseconds(t.median)} ({milliseconds(t.p90)})"
                for t in timings
                if t.backend == name
            ),
        )
        for name, label in labels.items()
    ]
    table = console_table(f"ms a batch, {counted(threads, 'thread')}: median (p90)", columns, rows)
    table.add_section()
    table.add_row("fastest dense", *(labels.get(s.fastest_dense or "", "") for s in speedups))
    table.add_row("sparse runtime over it", *(_times(s.over_dense) for s in speedups))
    if any(s.over_stripped for s in speedups):
        stripped = (_times(s.over_stripped) for s in speedups)
        table.add_row("  over dense, unreachable weights stripped", *stripped)
    return table


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}x"


def _output_checks(result: BenchResult) -> Table:
    rows = [
        (
            result.backends.get(check.backend, check.backend),
            f"{check.images:,}",
            "" if check.accuracy is None else f"{check.accuracy:.2%}",
            f"{check.differing:,}",
            f"{check.near_ties:,}",
            f"{check.max_logit_difference:.1e}",
        )
        for check in result.output_checks
    ]
    columns = ("", "images", "accuracy", "differ", "near ties", "max |Δ logit|")
    title = (
        f"{result.evaluation_images}: predictions that differ from eager torch's, those of them "
        f"whose top two logits are within {NEAR_TIE:g}"
    )
    return console_table(title, columns, rows)


def _operations(batch: BatchProfile, peak: float) -> Table:
    def row(op: OpTiming) -> tuple[str, ...]:
        density = "" if op.density is None else f"{op.density:.1%}"
        rate = f"{op.rate / 1e9:.1f}" if op.flops else ""
        share = f"{op.rate / peak:.0%}" if op.flops else ""
        return op.layers, density, op.kernel, f"{1e6 * op.seconds:.1f}", rate, share

    columns = ("operation", "density", "channel block", "µs", "GFLOP/s", "of peak")
    title = f"{counted(batch.images, 'image')} on one core, peak {peak / 1e9:.0f} GFLOP/s"
    table = console_table(title, columns, map(row, batch.operations))
    table.add_section()
    rate = sum(o.flops for o in batch.operations) / batch.seconds
    whole = (f"{1e6 * batch.seconds:.1f}", f"{rate / 1e9:.1f}", f"{rate / peak:.0%}")
    table.add_row("whole network", "", "", *whole)
    return table
