"""Methods at one sparsity: what each keeps, what it costs, and how it stands to plain global L1."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from matplotlib.figure import Figure as Canvas

from lightprune.bench.backends import SPARSE
from lightprune.bench.result import BenchResult, medians_of
from lightprune.rendering.document import Block, Figure, Table, thread_count
from lightprune.rendering.plotting import COLOURS, ERROR_BARS, GREY, draw_figure, percent_ticks
from lightprune.report.comparisons import Comparison
from lightprune.report.findings import Findings
from lightprune.report.groups import mac_share, percent_label, training_label
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.speed_figure import BATCHES, common_threads
from lightprune.report.statistics import pp_label

# The plainest method is what others are held against, wherever it has run.
_PLAINEST = "global one_shot"
# Two methods are a pair, which stands among the paired comparisons.
_LEAST = 3
_WORDS = (
    "Configurations of equal sparsity, budget, precision and data that started from the same dense "
    "network. The difference to the first line is that of one seed on the same images, with its "
    "95 % interval; what follows from it rests on the corrected p of the paired comparisons below."
)
_CAPTION = (
    "Mean over the seeds; bars are the 95 % interval that the number of test images allows "
    "(Wilson). Dashed: the dense networks that they started from."
)


@dataclass(frozen=True)
class MethodComparison:
    """Configurations of equal sparsity, training, data and dense network.

    Attributes:
        rows: What the others are held against, and these in the order of the result table.
        tests: Of each of the others with the first row, which comes second.
    """

    title: str
    rows: tuple[ResultRow, ...]
    tests: tuple[Comparison, ...]


def method_comparisons(findings: Findings) -> list[MethodComparison]:
    """Every sparsity and budget at which at least three configurations may be compared."""
    groups: dict[tuple[str, str, str], list[ResultRow]] = {}
    for row in findings.rows:
        if row.pruned:
            run = row.first
            key = percent_label(run.target_sparsity), training_label(run), run.dataset
            groups.setdefault(key, []).append(row)
    comparisons = []
    for (sparsity, training, _), rows in groups.items():
        plain = (row for row in rows if row.group and row.group.kind == _PLAINEST)
        reference = next(plain, rows[0])
        pairs = [(row, test) for row in rows if (test := _test(findings, row, reference))]
        if len(pairs) + 1 >= _LEAST:
            others, tests = zip(*pairs, strict=True)
            title = f"{sparsity}, {training}"
            comparisons.append(MethodComparison(title, (reference, *others), tests))
    return comparisons


def methods_section(findings: Findings) -> Iterator[Block]:
    """A table and a figure for each of these sparsities."""
    comparisons = method_comparisons(findings)
    if comparisons:
        yield _WORDS
    for number, comparison in enumerate(comparisons, 1):
        timed = _timed(comparison)
        words = f"**{comparison.title}**, held against {comparison.rows[0].series}"
        if threads := common_threads(timed.values()):
            machine = next(iter(timed.values())).machine
            words += (
                f"; milliseconds of the sparse runtime on {machine.label}, "
                f"{thread_count(threads)}, of the first seed that was timed"
            )
        suffix = f"-{number}" if len(comparisons) > 1 else ""
        yield f"{words}:"
        yield Table.of(_table(comparison, timed))
        yield _figure(findings, comparison, suffix)


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


def _table(comparison: MethodComparison, timed: dict[str, BenchResult]) -> Iterator[dict[str, str]]:
    threads = common_threads(timed.values())
    for row, test in zip(comparison.rows, (None, *comparison.tests), strict=True):
        paired = test and test.paired
        bench = timed.get(row.name)
        seconds = [medians_of(bench.timings, threads, n) if bench else {} for n in BATCHES]
        yield {
            "method": row.series,
            "seeds": row.seeds,
            "test accuracy": row.accuracy.percent,
            "live sparsity": f"{100 * row.live_sparsity:.2f} %",
            "MACs left": mac_share(row.mac_density),
            **{
                f"ms, batch {batch}": f"{1e3 * medians[SPARSE]:.3g}" if SPARSE in medians else ""
                for batch, medians in zip(BATCHES, seconds, strict=True)
            },
            "difference (pp)": pp_label(paired.difference) if paired else "",
            "95 % interval": paired.interval_label if paired else "",
            "what follows": _follows(test) if test else "",
        }


def _follows(test: Comparison) -> str:
    if not test.separated or test.paired is None:
        return f"not separated (seed {test.seed})"
    return f"{'more' if test.paired.difference > 0 else 'less'} accurate (seed {test.seed})"


def _timed(comparison: MethodComparison) -> dict[str, BenchResult]:
    """What was measured of each row's first timed run, on the machine that timed the first row."""
    benches: dict[str, BenchResult] = {}
    for row in comparison.rows:
        bench = next((run.bench for run in row.runs if run.bench), None)
        if bench and all(bench.machine == other.machine for other in benches.values()):
            benches[row.name] = bench
    return benches


def _figure(findings: Findings, comparison: MethodComparison, suffix: str) -> Figure:
    rows, weights = comparison.rows, comparison.rows[0].first.dense.weights_sha256
    dense = [
        row
        for row in findings.rows
        if not row.group and any(run.dense.weights_sha256 == weights for run in row.runs)
    ]

    def draw(canvas: Canvas) -> None:
        left, right = canvas.subplots(1, 2, sharey=True, gridspec_kw={"width_ratios": (3, 2)})
        means, places = [row.accuracy.mean for row in rows], range(len(rows))
        bars = [*zip(*(row.bars for row in rows), strict=True)]
        left.errorbar(means, places, xerr=bars, fmt="o", color=COLOURS[0], **ERROR_BARS)
        for row in dense:
            left.axvline(row.accuracy.mean, color=GREY, linestyle="--", linewidth=1)
        left.set_yticks(places, [row.series for row in rows])
        left.set_xlabel("test accuracy (%)")
        percent_ticks(left.xaxis)
        shares = [(row.mac_density, place) for place, row in enumerate(rows)]
        if known := [(share, place) for share, place in shares if share is not None]:
            right.plot(*zip(*known, strict=True), "s", color=COLOURS[1])
        right.set_xlim(left=0)
        right.set_xlabel("MACs left (%)")
        percent_ticks(right.xaxis)
        left.set_ylim(len(rows) - 0.5, -0.5)

    height = 1.1 + 0.21 * len(rows)
    title = f"Methods at {comparison.title}"
    return draw_figure(f"methods{suffix}", title, _CAPTION, height, draw)
