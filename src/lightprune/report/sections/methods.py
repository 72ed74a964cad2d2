"""Methods at one sparsity: what each keeps, what it costs, and how it stands to plain global L1."""

from collections.abc import Iterator
from dataclasses import dataclass

from lightprune.bench.backends import SPARSE
from lightprune.bench.result import BenchResult, medians_of
from lightprune.rendering.document import Block, Table
from lightprune.rendering.number_format import percent, percent_label, pp_label
from lightprune.report.baseline import tests_between, verdict
from lightprune.report.comparisons import Comparison
from lightprune.report.findings import Findings
from lightprune.report.groups import training_label
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.speed import BATCHES, common_threads
from lightprune.report.statistics import interval_label

# The plainest method is what others are held against, wherever it has run.
_PLAINEST = "global one_shot"
# Two methods are a pair, which stands among the paired comparisons.
_LEAST = 3
_WORDS = (
    "Configurations of equal sparsity, budget, precision and data that started from the same dense "
    "network. The difference to the first line is that of one seed on the same images, with its "
    "95 % interval; the verdict rests on the corrected p of the paired comparisons. "
    "Milliseconds are those of the sparse runtime, of the first seed that was timed, with the "
    "most threads that all have in common."
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
    """One table, sparsity by sparsity."""
    if comparisons := method_comparisons(findings):
        yield _WORDS
        yield Table.of(row for each in comparisons for row in _table(each)).filled


def _test(findings: Findings, row: ResultRow, reference: ResultRow) -> Comparison | None:
    """Of the first seed that both have, the reference second; None if they must not be ranked."""
    return next(iter(tests_between(findings.between, row.name, reference.name)), None)


def _table(comparison: MethodComparison) -> Iterator[dict[str, str]]:
    timed = _timed(comparison)
    threads = common_threads(timed.values())
    for row, test in zip(comparison.rows, (None, *comparison.tests), strict=True):
        paired = test and test.paired
        bench = timed.get(row.name)
        seconds = [medians_of(bench.timings, threads, n) if bench else {} for n in BATCHES]
        yield {
            "at": comparison.title,
            "method": row.series,
            "seeds": row.seeds,
            "test accuracy": row.accuracy.percent,
            "live sparsity": percent(row.live_sparsity),
            "MACs left": percent(row.mac_density, 1),
            **{
                f"ms, batch {batch}": f"{1e3 * medians[SPARSE]:.3g}" if SPARSE in medians else ""
                for batch, medians in zip(BATCHES, seconds, strict=True)
            },
            "difference (pp)": pp_label(paired.difference) if paired else "",
            "95 % interval": interval_label(paired) if paired else "",
            "verdict": f"{verdict([test])} (seed {test.seed})" if test else "",
        }


def _timed(comparison: MethodComparison) -> dict[str, BenchResult]:
    """What was measured of each row's first timed run, on the machine that timed the first row."""
    benches: dict[str, BenchResult] = {}
    for row in comparison.rows:
        bench = next((run.bench for run in row.runs if run.bench), None)
        if bench and all(bench.machine == other.machine for other in benches.values()):
            benches[row.name] = bench
    return benches
