"""README's generated parts: what is gained, the table of five rows, the quick start's times."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightprune.bench.backends import BACKENDS
from lightprune.bench.result import BenchResult
from lightprune.bench.sparsity_sweep import read_benchmark
from lightprune.errors import InputError
from lightprune.rendering.document import Table, thread_count
from lightprune.report.discovery import find_runs
from lightprune.report.frontier_figure import frontier_svg
from lightprune.report.groups import RunGroup, group_runs, run_label, training_label
from lightprune.report.reported_run import ReportedRun
from lightprune.report.result_table import ResultRow, result_rows
from lightprune.report.statistics import MeanStd, pp_label
from study.quick_start import QuickStart, quick_start
from study.reference import DATASET_NAMES, DENSE, PRUNED, comparable
from study.throughput import Throughput
from study.tuning_runs import split_tuning_runs

_NOTHING = "Measured results follow."
_REFERENCE = "global 98 % one_shot", "local 94.24 % one_shot"
FIGURE = "frontier.svg"
_BATCHES = (1, 64)
_MARGIN = 0.005
_SPARSE_FILE = "sparse, fp32"


@dataclass(frozen=True)
class Headline:
    """README's rows: runs of one training budget, and the dense network trained as long.

    Attributes:
        control: That dense network, the baseline of differences; None if it was not trained.
        dense: Where the fine-tuning began.
        pruned: In the order of the table.
        most: The sparsest one within half a point of the control; None if there is none.
        groups: Everything of that budget.
    """

    control: RunGroup | None
    dense: ResultRow
    pruned: tuple[RunGroup, ...]
    most: RunGroup | None
    groups: tuple[RunGroup, ...]

    def difference(self, row: ResultRow | RunGroup) -> float | None:
        """Of mean accuracies, to the control's."""
        if self.control is None:
            return None
        mean = row.accuracy if isinstance(row, ResultRow) else _accuracy(row)
        return mean.mean - _accuracy(self.control).mean


def headline(runs: Sequence[ReportedRun]) -> Headline | None:
    """Selects the rows; None if nothing that the reference pruned is among the runs.

    The training budget is that whose control has the most seeds, and of these the shortest.
    """
    runs = [run for run in runs if comparable(run)]
    groups = group_runs(tuple(runs))
    controls = [group for group in groups if group.kind == "control"]
    basis = controls or [group for group in groups if _label(group) in _REFERENCE]
    if not basis:
        return None
    first = min(basis, key=lambda group: (-len(group.runs), group.first.finetune_epochs)).first
    groups = group_runs(tuple(run for run in runs if _training(run) == _training(first)))
    control = next((group for group in groups if group.kind == "control"), None)
    pruned = [group for group in groups if group.first.events]
    dense = next(row for row in result_rows(groups) if row.group is None)
    result = Headline(control, dense, (), None, groups)
    near = [g for g in pruned if (d := result.difference(g)) is not None and d >= -_MARGIN]
    most = max(near, key=_pruned_away, default=None)
    rows = [group for group in pruned if _label(group) in _REFERENCE]
    if most and most not in rows:
        rows.insert(1, most)
    elif most:
        further = [g for g in pruned if g.series == most.series and _sparsity(g) > _sparsity(most)]
        rows[1:1] = sorted(further, key=_sparsity)[:1]
    return Headline(control, dense, tuple(rows), most, groups)


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
    found = headline(_published_runs(results))
    svg = frontier_svg(result_rows(found.groups)) if found else ""
    measured = read_benchmark(results / "quick_start.json", QuickStart, "quick_start.py")
    throughput = read_benchmark(results / "throughput.json", Throughput, "throughput.py")
    parts = {
        "results": "\n\n".join(_results(found, results, bool(svg))) if found else _NOTHING,
        "quick start": quick_start(measured, throughput),
    }
    # The figure's links lead from the folder of a report; this one lies beside the runs.
    return Generated(parts, svg.replace('href="../', 'href="'))


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


def _results(found: Headline, results: Path, figure: bool) -> Iterator[str]:
    """What is gained in a sentence, the table, what its columns mean, and the figure."""
    yield from _gain(found)
    yield Table.of(_table_rows(found)).markdown
    yield f"<sub>{' '.join(_notes(found, results))}</sub>"
    if figure:
        yield f"![Test accuracy against MACs; grey: the control]({results.name}/{FIGURE})"


def _published_runs(results: Path) -> tuple[ReportedRun, ...]:
    if not any(results.rglob("run.json")):
        return ()
    collection = find_runs(results, results / "dense", DATASET_NAMES)
    return split_tuning_runs(collection)[0].runs


def _gain(found: Headline) -> Iterator[str]:
    difference = found.difference(found.most) if found.most else None
    if found.most is None or difference is None:
        return
    cost = "no accuracy" if difference >= 0 else f"{-100 * difference:.1f} points of accuracy"
    speed = ""
    if (bench := _bench(found.most)) and len(ratios := _speedups(bench)) == len(_BATCHES):
        single, many = ratios
        speed = (
            f", and runs the rest on a CPU {single:.1f} times (one image) to {many:.1f} times "
            "(64 at once) as fast as the fastest dense backend"
        )
    yield (
        f"**lightprune takes {100 * _sparsity(found.most):g} % of the convolution weights out of a "
        f"ResNet18 for {cost} on CIFAR-10{speed}.**"
    )


def _table_rows(found: Headline) -> Iterator[dict[str, str]]:
    dense = found.dense.first
    unpruned = {
        "weights": f"{dense.cost.weights:,}",
        "MACs": _millions(dense.cost.macs),
        "file": _megabytes(dense.sizes["model.safetensors"]),
        "speed-up, batch 1 / 64": "1 / 1",
    }
    yield _row(found, f"dense, {found.dense.epochs} epochs", found.dense) | unpruned
    if found.control:
        name = f"dense, {found.control.first.epochs} epochs: the control"
        yield _row(found, name, found.control) | unpruned
    for group in found.pruned:
        bench = _bench(group)
        name = f"**{_label(group)}**" if group is found.most else _label(group)
        yield _row(found, name, group) | {
            "weights": f"{group.first.cost.nnz:,}",
            "MACs": _millions(MeanStd.of([run.cost.macs_live or 0 for run in group.runs]).mean),
            "file": _megabytes(bench.sizes[_SPARSE_FILE]) if bench else "–",
            "speed-up, batch 1 / 64": " / ".join(f"{s:.1f}" for s in _speedups(bench))
            if bench
            else "–",
        }


def _row(found: Headline, name: str, row: ResultRow | RunGroup) -> dict[str, str]:
    accuracy = row.accuracy if isinstance(row, ResultRow) else _accuracy(row)
    difference = found.difference(row)
    shown = "" if difference is None or row is found.control else pp_label(difference)
    return {
        "network": name,
        "test accuracy (seeds)": f"{accuracy.percent} ({len(row.runs)})",
        "to the control": shown,
    }


def _notes(found: Headline, results: Path) -> Iterator[str]:
    first = found.dense.first
    benches = [bench for group in found.pruned if (bench := _bench(group))]
    yield (
        f"ResNet18, {first.dataset}; ± is the standard deviation over seeds. Weights: those of "
        "convolutions that are not zero. MACs: their multiplications for an image."
    )
    if found.most:
        cost, name = found.most.first.cost, _label(found.most)
        yield (
            f"Of what was trained as long, **{name}** is the sparsest within "
            f"{100 * _MARGIN:g} points of the control. {_percent(1 - cost.live / cost.weights)} "
            "of the weights only ever multiply padding at this size of images: of the others it "
            f"removes {_percent(cost.live_sparsity)}."
        )
    if benches:
        timed = {name for bench in benches for name in bench.backends}
        dense = [b for b in BACKENDS if b.dense and not b.stripped and b.name in timed]
        labels = ", ".join(backend.label.removeprefix("eager, ") for backend in dense)
        threads = thread_count(max(timing.threads for timing in benches[0].timings))
        yield (
            f"Speed-up: the sparse runtime over the fastest of {labels} ({threads} of "
            f"{benches[0].machine.label}); –: not timed."
        )
    published = ", ".join(
        f"{figure.label} {100 * figure.accuracy:.1f} %" for figure in (DENSE, *PRUNED.values())
    )
    yield (
        f"The reference, L. Mao's blog post “PyTorch Pruning” (400 epochs, lossless images): "
        f"{published}. Everything else: [the report]({results.name}/report/report.md)."
    )


def _accuracy(group: RunGroup) -> MeanStd:
    return MeanStd.of([run.test.accuracy for run in group.runs])


def _label(group: RunGroup) -> str:
    return run_label(group.first)


def _sparsity(group: RunGroup) -> float:
    return group.first.target_sparsity


def _pruned_away(group: RunGroup) -> tuple[float, float]:
    return _sparsity(group), -(group.first.cost.mac_density or 0.0)


def _training(run: ReportedRun) -> tuple[str, str]:
    return training_label(run), run.data.fingerprint


def _bench(group: RunGroup) -> BenchResult | None:
    return next((run.bench for run in group.runs if run.bench), None)


def _speedups(bench: BenchResult) -> list[float]:
    threads = max(timing.threads for timing in bench.timings)
    at = {s.batch: s.over_dense for s in bench.speedups if s.threads == threads}
    return [ratio for batch in _BATCHES if (ratio := at.get(batch))]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _millions(count: float | None) -> str:
    return "unknown" if count is None else f"{count / 1e6:.1f} M"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.3g} MB"
