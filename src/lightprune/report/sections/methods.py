"""Methods at one sparsity: what each keeps, what it costs, and how it stands to plain global L1."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from matplotlib.figure import Figure as Canvas

from lightprune.bench.backends import SPARSE
from lightprune.bench.result import BenchResult
from lightprune.rendering.document import Block, Figure, Section, Table, thread_count
from lightprune.rendering.plotting import COLOURS, GREY, draw_figure, percent_ticks
from lightprune.report.comparisons import Comparison
from lightprune.report.findings import Findings
from lightprune.report.groups import (
    RunGroup,
    mac_share,
    percent_label,
    target_sparsity,
    training_label,
)
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.speed_figure import BATCHES
from lightprune.report.statistics import pp_label

# The plainest method is what others are held against, wherever it has run.
_PLAINEST = "global one_shot"
# Two methods are a pair, which stands among the paired comparisons.
_LEAST = 3
# Heights in inches: of what surrounds the methods, of each one's line.
_FRAME, _LINE = 1.1, 0.21


@dataclass(frozen=True)
class MethodComparison:
    """Comparable configurations: of equal sparsity, training, data and dense network.

    Attributes:
        title: Their sparsity, budget and precision.
        reference: What the others are held against.
        others: In the order of the result table.
        comparisons: Of each of the others with the reference, which comes second; the first seed
            that both have.
    """

    title: str
    reference: ResultRow
    others: tuple[ResultRow, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def rows(self) -> tuple[ResultRow, ...]:
        """The reference first."""
        return (self.reference, *self.others)


def method_comparisons(findings: Findings) -> list[MethodComparison]:
    """Every sparsity and budget at which at least three configurations may be compared."""
    groups: dict[tuple[str, str, str], list[ResultRow]] = {}
    for row in findings.rows:
        if row.pruned:
            at = percent_label(target_sparsity(row.runs[0]))
            groups.setdefault((at, training_label(row.runs[0]), row.data), []).append(row)
    found = []
    for (at, training, _), rows in groups.items():
        reference = next((row for row in rows if _group(row).kind == _PLAINEST), rows[0])
        tests = {row.name: _test(findings, row, reference) for row in rows}
        pairs = [(row, test) for row in rows if (test := tests[row.name])]
        if len(pairs) + 1 >= _LEAST:
            others, comparisons = zip(*pairs, strict=True)
            found.append(MethodComparison(f"{at}, {training}", reference, others, comparisons))
    return found


def methods_section(findings: Findings) -> Section:
    """A table and a figure for each of these sparsities."""
    found = method_comparisons(findings)
    blocks: list[Block] = []
    if found:
        words = (
            "Configurations of equal sparsity, budget, precision and data that started from the "
            "same dense network. The difference to the first line is that of one seed on the same "
            "images, with its 95 % interval; what follows from it rests on the corrected p of the "
            "paired comparisons below."
        )
        blocks.append(words)
    for number, contest in enumerate(found, 1):
        timed = _timed(contest)
        words = f"**{contest.title}**, held against {_group(contest.reference).series}"
        if timed:
            machine = next(iter(timed.values())).machine
            words += (
                f"; milliseconds of the sparse runtime on {machine.label}, "
                f"{thread_count(_threads(timed))}, of the first seed that was timed"
            )
        blocks.append(f"{words}:")
        blocks.append(Table.of(_table(contest, timed)))
        blocks.append(_figure(findings, contest, f"-{number}" if len(found) > 1 else ""))
    return Section("Methods at one sparsity", tuple(blocks))


def _group(row: ResultRow) -> RunGroup:
    assert row.group is not None
    return row.group


def _test(findings: Findings, row: ResultRow, reference: ResultRow) -> Comparison | None:
    """Of the first seed that both have, the reference second; None if they must not be ranked."""
    for test in findings.between:
        if test.paired is None or test.obstacle:
            continue
        if (test.first, test.second) == (row.name, reference.name):
            return test
        if (test.first, test.second) == (reference.name, row.name):
            return replace(test, first=row.name, second=reference.name, paired=test.paired.reversed)
    return None


def _table(contest: MethodComparison, timed: dict[str, BenchResult]) -> Iterator[dict[str, str]]:
    for row, test in zip(contest.rows, (None, *contest.comparisons), strict=True):
        low, high = test.paired.interval if test and test.paired else (0.0, 0.0)
        yield {
            "method": _group(row).series,
            "seeds": row.seeds,
            "test accuracy": row.accuracy.percent,
            "live sparsity": f"{100 * row.live_sparsity:.2f} %",
            "MACs left": mac_share(row.mac_density),
            **_latency(row, timed),
            "difference (pp)": pp_label(test.paired.difference) if test and test.paired else "",
            "95 % interval": f"{pp_label(low)} to {pp_label(high)}" if test else "",
            "what follows": _follows(test) if test else "",
        }


def _follows(test: Comparison) -> str:
    if not test.separated or test.paired is None:
        return f"not separated (seed {test.seed})"
    return f"{'more' if test.paired.difference > 0 else 'less'} accurate (seed {test.seed})"


def _timed(contest: MethodComparison) -> dict[str, BenchResult]:
    """What was measured of each row's first timed run, on the machine that timed the first row."""
    found = {
        row.name: next(run.bench for run in row.runs if run.bench)
        for row in contest.rows
        if any(run.bench for run in row.runs)
    }
    machines = [bench.machine for bench in found.values()]
    return {name: bench for name, bench in found.items() if bench.machine == machines[0]}


def _threads(timed: dict[str, BenchResult]) -> int:
    """The most with which all were timed; 0 if there is no such number."""
    counts = [{timing.threads for timing in bench.timings} for bench in timed.values()]
    return max(set.intersection(*counts), default=0) if counts else 0


def _latency(row: ResultRow, timed: dict[str, BenchResult]) -> dict[str, str]:
    """Milliseconds a batch."""
    bench, threads = timed.get(row.name), _threads(timed)
    medians = {n: bench.medians(threads, n).get(SPARSE) if bench else None for n in BATCHES}
    return {f"ms, batch {n}": f"{1e3 * s:.3g}" if s else "" for n, s in medians.items()}


def _figure(findings: Findings, contest: MethodComparison, suffix: str) -> Figure:
    rows = contest.rows
    places = range(len(rows))
    first = contest.reference.runs[0]
    starts = [
        row for row in findings.rows if not row.group and _shares(row, first.dense.weights_sha256)
    ]

    def draw(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": (3, 2)})
        means = [row.accuracy.mean for row in rows]
        bars = [*zip(*(row.bars for row in rows), strict=True)]
        left.errorbar(
            means, places, xerr=bars, fmt="o", color=COLOURS[0], elinewidth=0.8, capsize=2
        )
        for row in starts:
            left.axvline(row.accuracy.mean, color=GREY, linestyle="--", linewidth=1)
        left.set_yticks(places, [_group(row).series for row in rows])
        left.set_xlabel("test accuracy (%)")
        percent_ticks(left.xaxis)
        known = [
            (row.mac_density, place)
            for row, place in zip(rows, places, strict=True)
            if row.mac_density is not None
        ]
        if known:
            right.plot(*zip(*known, strict=True), "s", color=COLOURS[1])
        right.set_xlim(left=0)
        right.set_xlabel("MACs left (%)")
        percent_ticks(right.xaxis)
        left.set_ylim(len(rows) - 0.5, -0.5)

    title = f"Methods at {contest.title}"
    caption = (
        "Mean over the seeds; bars are the 95 % interval that the number of test images allows "
        "(Wilson). Dashed: the dense networks that they started from."
    )
    return draw_figure(f"methods{suffix}", title, caption, _FRAME + _LINE * len(rows), draw)


def _shares(row: ResultRow, weights: str) -> bool:
    return any(run.dense.weights_sha256 == weights for run in row.runs)
