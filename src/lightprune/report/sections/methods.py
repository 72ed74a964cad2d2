"""Methods at one sparsity: what each keeps, what it costs, and how it stands to plain global L1."""

from collections.abc import Iterator
from dataclasses import dataclass

from lightprune.bench.backends import SPARSE
from lightprune.bench.result import BenchResult, medians_of
from lightprune.rendering.document import Block, Table
from lightprune.rendering.number_format import milliseconds, percent, percent_label
from lightprune.report.baseline import Baseline, tests_between
from lightprune.report.findings import Findings
from lightprune.report.groups import training_label
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.speed import BATCHES, common_threads

# The plainest method is what others are held against, wherever it has run.
_PLAINEST = "global one_shot"
# Two methods are a pair, which stands among the paired comparisons.
_LEAST = 3
_WORDS = (
    "Configurations of equal sparsity, budget, precision and data that started from the same dense "
    "networks. The difference to the first line is that on the same images, the mean over the "
    "seeds that both have, with its 95 % interval; the verdict rests on the corrected p of the "
    "paired comparisons. "
    "Milliseconds are those of the sparse runtime, of the first seed that was timed, with the "
    "most threads that all have in common."
)


@dataclass(frozen=True)
class MethodComparison:
    """Configurations of equal sparsity, training, data and dense network.

    Attributes:
        rows: What the others are held against, and these in the order of the result table.
        differences: Of each of the others to the first row.
    """

    title: str
    rows: tuple[ResultRow, ...]
    differences: tuple[Baseline, ...]


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
        tests = [(row, tests_between(findings.between, row.name, reference.name)) for row in rows]
        pairs = [(row, Baseline.of(reference.name, each)) for row, each in tests if each]
        if len(pairs) + 1 >= _LEAST:
            others, differences = zip(*pairs, strict=True)
            title = f"{sparsity}, {training}"
            comparisons.append(MethodComparison(title, (reference, *others), differences))
    return comparisons


def methods_section(findings: Findings) -> Iterator[Block]:
    """One table, sparsity by sparsity."""
    if comparisons := method_comparisons(findings):
        yield _WORDS
        yield Table.of(row for each in comparisons for row in _table(each)).filled


def _table(comparison: MethodComparison) -> Iterator[dict[str, str]]:
    timed = _timed(comparison)
    threads = common_threads(timed.values())
    for row, difference in zip(comparison.rows, (None, *comparison.differences), strict=True):
        seeds = difference.seeds_label(len(row.runs)) if difference else ""
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
                f"ms, batch {batch}": milliseconds(medians[SPARSE]) if SPARSE in medians else ""
                for batch, medians in zip(BATCHES, seconds, strict=True)
            },
            "difference (pp)": difference.difference.pp if difference else "",
            "95 % interval": difference.interval if difference else "",
            "verdict": difference.verdict + (f" ({seeds})" if seeds else "") if difference else "",
        }


def _timed(comparison: MethodComparison) -> dict[str, BenchResult]:
    """What was measured of each row's first timed run, on the machine that timed the first row."""
    benches: dict[str, BenchResult] = {}
    for row in comparison.rows:
        bench = next((run.bench for run in row.runs if run.bench), None)
        if bench and all(bench.machine == other.machine for other in benches.values()):
            benches[row.name] = bench
    return benches
