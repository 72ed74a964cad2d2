"""Accuracy beside speed: the runs whose networks `lightprune bench` has timed."""

from collections.abc import Iterable, Iterator, Sequence

from lightprune.bench.backends import SPARSE
from lightprune.bench.result import Speedup
from lightprune.provenance import short_commit
from lightprune.rendering.document import Block, Table, thread_count
from lightprune.rendering.plotting import paginate
from lightprune.report.findings import Findings
from lightprune.report.groups import RunGroup, mac_share
from lightprune.report.sections.speed_figure import BATCHES, TimedRun, speed_figures
from lightprune.report.statistics import pp_label


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
        threads = max(timing.threads for timing in timed.bench.timings)
        speedups = timed.speedups(threads)
        ratios = [f"{at.over_dense:.1f} (batch {at.batch})" for at in speedups if at.over_dense]
        stripped = [f"{at.over_stripped:.1f}" for at in speedups if at.over_stripped]
        if ratios:
            over = f", {' and '.join(stripped)} times without its unreachable weights"
            yield (
                f"Speed: **{timed.name}** ({timed.criterion}; "
                f"{mac_share(timed.run.cost.mac_density)} of the MACs left, "
                f"{pp_label(timed.run.accuracy_change)} pp to its dense network) is "
                f"{' and '.join(ratios)} times as fast as the fastest dense backend"
                f"{over if stripped else ''} "
                f"({thread_count(threads)} of {timed.bench.machine.label})."
            )


def fastest_lines(groups: Sequence[RunGroup], margin: float) -> Iterator[str]:
    """By batch size, the most that is gained by runs that lose at most `margin` of accuracy.

    No run is named: the ratios of equal masks differ by up to a half from process to process.
    """
    near = [t for t in timed_runs(groups) if t.run.accuracy_change >= -margin]
    for machine in dict.fromkeys(timed.bench.machine.label for timed in near):
        rows = [timed for timed in near if timed.bench.machine.label == machine]
        threads = max(timing.threads for row in rows for timing in row.bench.timings)
        ratios: dict[int, list[float]] = {}
        for at in (speedup for row in rows for speedup in row.speedups(threads)):
            if at.over_dense:
                ratios.setdefault(at.batch, []).append(at.over_dense)
        if best := [f"{max(ratios[n]):.1f} (batch {n})" for n in BATCHES if n in ratios]:
            yield (
                f"Speed: timed runs within {100 * margin:.1f} pp of their own dense networks "
                f"are up to {' and '.join(best)} times as fast as the fastest dense backend "
                f"({thread_count(threads)} of {machine})."
            )


def speed_section(findings: Findings) -> Iterator[Block]:
    """Tables and a figure for each machine."""
    timed = timed_runs(findings.groups)
    for suffix, rows in paginate(timed, len(timed) or 1, lambda row: row.bench.machine):
        yield _source(rows)
        for threads in sorted({timing.threads for row in rows for timing in row.bench.timings}):
            yield f"**{thread_count(threads)}:**"
            yield Table.of(_row(row, threads) for row in rows)
        yield from speed_figures(rows, suffix)


def _source(rows: Sequence[TimedRun]) -> str:
    machine = rows[0].bench.machine
    commits = dict.fromkeys(f"`{short_commit(row.bench.commit)}`" for row in rows)
    words = (
        f"Medians of `lightprune bench` on {machine.label}, {machine.cores} cores, commit "
        f"{', '.join(commits)}. A run's backends took turns in one process: ratios in a row hold "
        "better than milliseconds between rows."
    )
    if checks := [c for row in rows for c in row.bench.output_checks if c.backend == SPARSE]:
        words += (
            f" Of {min(c.images for c in checks):,} images or more, the sparse runtime classifies "
            f"at most {max(c.differing for c in checks):,} otherwise than eager torch; logits "
            f"differ by at most {max(c.max_logit_difference for c in checks):.0e}."
        )
    return words


def _row(timed: TimedRun, threads: int) -> dict[str, str]:
    run, cost = timed.run, timed.run.cost
    return {
        "run": timed.name,
        "criterion": timed.criterion,
        "sparsity": f"{100 * cost.sparsity:.2f} %",
        "live sparsity": f"{100 * cost.live_sparsity:.2f} %",
        "MACs left": mac_share(cost.mac_density),
        "test accuracy": f"{100 * run.test.accuracy:.2f} %",
        "to its dense (pp)": pp_label(run.accuracy_change),
        **latency_columns(timed.speedups(threads)),
    }


def latency_columns(speedups: Iterable[Speedup]) -> dict[str, str]:
    """Columns of a table: milliseconds of the sparse runtime, and how much faster it is."""
    columns = {}
    for at in speedups:
        columns[f"ms, batch {at.batch}"] = f"{1e3 * at.sparse:.3g}" if at.sparse else ""
        for over, ratio in (("fastest dense", at.over_dense), ("stripped", at.over_stripped)):
            columns[f"over {over}, batch {at.batch}"] = f"{ratio:.2f}" if ratio else ""
    return columns
