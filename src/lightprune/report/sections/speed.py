"""Accuracy beside speed: the runs whose networks `lightprune bench` has timed."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from lightprune.bench.backends import SPARSE
from lightprune.bench.machine import Machine
from lightprune.bench.result import BenchResult, Speedup
from lightprune.provenance import short_commit
from lightprune.rendering.document import Block, Table
from lightprune.rendering.number_format import counted, milliseconds, percent, pp_label
from lightprune.report.findings import Findings
from lightprune.report.groups import RunGroup
from lightprune.report.reported_run import ReportedRun

BATCHES = (1, 64)


@dataclass(frozen=True)
class TimedRun:
    """A run and the speed of its network."""

    name: str
    run: ReportedRun
    bench: BenchResult

    @property
    def threads(self) -> int:
        """The most with which the network was timed."""
        return max(timing.threads for timing in self.bench.timings)

    @property
    def batches(self) -> list[int]:
        """Of `BATCHES` those that were timed with the most threads; without any, all that were."""
        timed = {timing.batch for timing in self.bench.timings if timing.threads == self.threads}
        return sorted(timed & set(BATCHES) or timed)

    def speedups(self, batches: Iterable[int]) -> list[Speedup]:
        """With the most threads, one for each batch size."""
        return [Speedup.of(self.bench.timings, self.threads, batch) for batch in batches]


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


def common_threads(benches: Iterable[BenchResult]) -> int:
    """The most with which the sparse runtime was timed wherever it ran; 0 if there is none."""
    counts = [{t.threads for t in bench.timings if t.backend == SPARSE} for bench in benches]
    timed = [threads for threads in counts if threads]
    return max(set.intersection(*timed), default=0) if timed else 0


def speed_section(findings: Findings) -> Iterator[Block]:
    """A table for each machine and number of threads, the most of each run."""
    places: dict[tuple[Machine, int], list[TimedRun]] = {}
    for timed in timed_runs(findings.groups):
        places.setdefault((timed.bench.machine, timed.threads), []).append(timed)
    for (_, threads), rows in places.items():
        batches = sorted({batch for row in rows for batch in row.batches})
        yield _source(rows, threads)
        yield Table.of(_row(row, batches) for row in rows).filled


def _source(rows: Sequence[TimedRun], threads: int) -> str:
    machine = rows[0].bench.machine
    commits = dict.fromkeys(f"`{short_commit(row.bench.commit)}`" for row in rows)
    words = (
        f"Medians of `lightprune bench` with {counted(threads, 'thread')} on {machine.label}, "
        f"{machine.cores} cores, commit {', '.join(commits)}. A run's backends took turns in one "
        "process: ratios in a row hold better than milliseconds between rows."
    )
    if checks := [c for row in rows for c in row.bench.output_checks if c.backend == SPARSE]:
        words += (
            f" Of {min(c.images for c in checks):,} images or more, the sparse runtime classifies "
            f"at most {max(c.differing for c in checks):,} otherwise than eager torch; logits "
            f"differ by at most {max(c.max_logit_difference for c in checks):.0e}."
        )
    return words


def _row(timed: TimedRun, batches: Sequence[int]) -> dict[str, str]:
    run, cost = timed.run, timed.run.cost
    return {
        "run": timed.name,
        "live sparsity": percent(cost.live_sparsity),
        "MACs left": percent(cost.mac_density, 1),
        "test accuracy": percent(run.test.accuracy),
        "to its dense (pp)": pp_label(run.accuracy_change),
        **latency_columns(timed.speedups(batches)),
    }


def latency_columns(speedups: Iterable[Speedup]) -> dict[str, str]:
    """Columns of a table: milliseconds of the sparse runtime, and how much faster it is."""
    columns = {}
    for at in speedups:
        columns[f"ms, batch {at.batch}"] = milliseconds(at.sparse) if at.sparse else ""
        for over, ratio in (("fastest dense", at.over_dense), ("stripped", at.over_stripped)):
            columns[f"over {over}, batch {at.batch}"] = f"{ratio:.2f}" if ratio else ""
    return columns
