"""README's generated parts: what is gained, the table of five rows, the quick start's times."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lightprune.bench.backends import BACKENDS
from lightprune.bench.result import BenchResult
from lightprune.errors import InputError
from lightprune.rendering.document import Table
from lightprune.rendering.number_format import counted, megabytes, millions, percent, percent_label
from lightprune.report.baseline import Baseline
from lightprune.report.discovery import find_runs
from lightprune.report.frontier_figure import frontier_svg
from lightprune.report.reported_run import ReportedRun
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.headline import MARGIN
from study.quick_start import QuickStart, quick_start
from study.readme_rows import TableRows, label, table_rows
from study.reference import DATASET_NAMES, DENSE, PRUNED
from study.sparsity_sweep import read_benchmark
from study.throughput import Throughput
from study.tuning_runs import split_tuning_runs

_NOTHING = "Measured results follow."
FIGURE = "frontier.svg"
_BATCHES = (1, 64)
_SPEED_UP = "speed-up"
_SPARSE_FILE = "sparse, fp32"


@dataclass(frozen=True)
class Generated:
    """What README takes from the results: its parts by name, and the figure as SVG, or empty."""

    parts: dict[str, str]
    figure: str

    def renew(self, readme: str) -> str:
        """README with these parts in the place of the ones it has."""
        for name, text in self.parts.items():
            readme = replace_block(readme, name, text)
        return readme


def generate(results: Path) -> Generated:
    """Makes README's parts from the published runs and benchmarks."""
    found = table_rows(_published_runs(results))
    svg = frontier_svg(found.findings.rows) if found else ""
    measured = read_benchmark(results / "quick_start.json", QuickStart, "quick_start.py")
    throughput = read_benchmark(results / "throughput.json", Throughput, "throughput.py")
    parts = {
        "results": "\n\n".join(_results(found, results, bool(svg))) if found else _NOTHING,
        "quick start": quick_start(measured, throughput),
    }
    # The figure's links lead from a folder of a report; this one lies beside the runs.
    return Generated(parts, svg.replace('href="../../', 'href="'))


def replace_block(readme: str, name: str, block: str) -> str:
    """README with another text between the two comments that enclose a generated part.

    Raises:
        InputError: The comments are not there, once each and in order.
    """
    first, last = f"<!-- {name}: made by `make results` -->", f"<!-- end of {name} -->"
    before, start, rest = readme.partition(first)
    _, end, after = rest.partition(last)
    if not start or not end or first in rest or last in after:
        raise InputError(f"README: lacks the lines {first} and {last}; allowed is one of each")
    return f"{before}{first}\n{block}\n{last}{after}"


def _results(found: TableRows, results: Path, figure: bool) -> Iterator[str]:
    """What is gained in a sentence, the table, what its columns mean, and the figure."""
    yield from _gain(found)
    rows = ({name: _unbroken(cell) for name, cell in row.items()} for row in _table_rows(found))
    yield Table.of(rows, more="").markdown
    yield f"<sub>{' '.join(_notes(found, results))}</sub>"
    if figure:
        yield f"![Test accuracy against MACs; grey: the control]({results.name}/{FIGURE})"


def _published_runs(results: Path) -> tuple[ReportedRun, ...]:
    if not any(results.rglob("run.json")):
        return ()
    collection = find_runs(results, results / "dense", DATASET_NAMES)
    return split_tuning_runs(collection)[0].runs


def _unbroken(cell: str) -> str:
    """Breaks in lines after a comma and before a bracket alone: GitHub's column is narrow."""
    return re.sub(r"(?<!,) (?!\()", "\N{NO-BREAK SPACE}", cell)


def _gain(found: TableRows) -> Iterator[str]:
    if found.most is None or not (baseline := found.baseline(found.most)):
        return
    speed = ""
    if (bench := _bench(found.most)) and len(ratios := _speedups(bench)) == len(_BATCHES):
        single, many = ratios
        speed = (
            f", and a CPU runs it {single:.1f} times (one image) and {many:.1f} times (64 at once) "
            "as fast as the fastest dense backend"
        )
    interval = f"95 % interval {baseline.interval}" if baseline.interval else ""
    notes = "; ".join(filter(None, (interval, baseline.seeds_label(len(found.most.runs)))))
    notes = f" ({notes})" if notes else ""
    yield (
        f"**lightprune takes {percent_label(found.most.sparsity)} of the convolution weights out "
        f"of a ResNet18; its CIFAR-10 accuracy then differs by {baseline.difference.pp} pp"
        f"{notes} from that of the unpruned network trained as long{speed}.**"
    )


def _table_rows(found: TableRows) -> Iterator[dict[str, str]]:
    dense = found.dense.first
    unpruned = {
        "weights": f"{dense.cost.weights:,}",
        "MACs": millions(dense.cost.macs),
        "file": megabytes(dense.sizes["model.safetensors"]),
        _SPEED_UP: "1 / 1",
    }
    yield _row(found, f"dense, {found.dense.epochs} epochs", found.dense) | unpruned
    if found.control:
        name = f"control, {found.control.epochs} epochs"
        yield _row(found, name, found.control) | unpruned
    for row in found.pruned:
        bench = _bench(row)
        name = f"**{label(row)}**" if row is found.most else label(row)
        yield _row(found, name, row) | {
            "weights": f"{row.first.cost.nnz:,}",
            "MACs": millions((row.mac_density or 0.0) * (row.first.cost.macs or 0)),
            "file": megabytes(bench.sizes[_SPARSE_FILE]) if bench else "–",
            _SPEED_UP: " / ".join(f"{s:.1f}" for s in _speedups(bench)) if bench else "–",
        }


def _row(found: TableRows, name: str, row: ResultRow) -> dict[str, str]:
    baseline = found.baseline(row)
    return {
        "network": name,
        "test accuracy (seeds)": f"{row.accuracy.percent} ({len(row.runs)})",
        "to the control (pp)": _difference(baseline, len(row.runs)) if baseline else "",
    }


def _difference(baseline: Baseline, runs: int) -> str:
    notes = "; ".join(filter(None, (baseline.interval, baseline.seeds_label(runs))))
    return f"{baseline.difference.pp} ({notes})" if notes else baseline.difference.pp


def _notes(found: TableRows, results: Path) -> Iterator[str]:
    first = found.dense.first
    yield (
        f"ResNet18, {first.dataset}; ± is the standard deviation over seeds; control: the dense "
        "network trained as long; differences to it in percentage points (pp) with their 95 % "
        "intervals, over the seeds that both have. Weights: those of convolutions that are not "
        "zero. MACs: their multiplications for an image."
    )
    if found.control:
        yield (
            "Shown is, of the trainings whose control has the most seeds, the one whose control "
            "is the most accurate."
        )
    if found.most and (baseline := found.baseline(found.most)):
        cost = found.most.first.cost
        within = baseline.difference.mean >= -MARGIN
        place = f"the sparsest within {100 * MARGIN:g} pp of" if within else "the nearest to"
        yield (
            f"Of what was trained as long, **{label(found.most)}** is {place} the control. "
            f"{percent(1 - cost.live / cost.weights, 1)} "
            "of the weights only ever multiply padding at this size of images: of the others it "
            f"removes {percent(cost.live_sparsity, 1)}."
        )
    yield from _speed_note(found)
    published = ", ".join(
        f"{figure.label} {percent(figure.accuracy, 1)}" for figure in (DENSE, *PRUNED.values())
    )
    yield (
        f"The reference, L. Mao's blog post “PyTorch Pruning” (400 epochs, lossless images): "
        f"{published}. Everything else: [the report]({results.name}/report/report.md)."
    )


def _speed_note(found: TableRows) -> Iterator[str]:
    """What the speed-up is over, and the machine, or the machine of each row."""
    timed = [(row, bench) for row in found.pruned if (bench := _bench(row))]
    if not timed:
        return
    names = {name for _, bench in timed for name in bench.backends}
    dense = [b for b in BACKENDS if b.dense and not b.stripped and b.name in names]
    labels = ", ".join(backend.label.removeprefix("eager, ") for backend in dense)
    machines: dict[str, list[str]] = {}
    for row, bench in timed:
        threads = counted(max(timing.threads for timing in bench.timings), "thread")
        machines.setdefault(f"{threads} of {bench.machine.label}", []).append(label(row))
    where = (f"{', '.join(rows)}: {machine}" for machine, rows in machines.items())
    yield (
        f"Speed-up with one image / 64: the sparse runtime over the fastest of {labels} "
        f"({'; '.join(where if len(machines) > 1 else machines)}); –: not timed."
    )


def _bench(row: ResultRow) -> BenchResult | None:
    return next((run.bench for run in row.runs if run.bench), None)


def _speedups(bench: BenchResult) -> list[float]:
    threads = max(timing.threads for timing in bench.timings)
    at = {s.batch: s.over_dense for s in bench.speedups if s.threads == threads}
    return [ratio for batch in _BATCHES if (ratio := at.get(batch))]
