"""What one reads first: the finding, four tiles, the best by sparsity, what decides it."""

from collections.abc import Iterator

from lightprune.bench.result import Speedup
from lightprune.rendering.chart import STYLES
from lightprune.rendering.document import (
    Block,
    Choice,
    Figure,
    Table,
    Tiles,
    bullets,
    escaped,
    link,
)
from lightprune.rendering.number_format import counted, percent, percent_label, pp_label
from lightprune.rendering.svg import chart_figure
from lightprune.report.baseline import Baseline
from lightprune.report.comparisons import UNCORRECTED
from lightprune.report.findings import Findings
from lightprune.report.frontier_figure import frontier_charts
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.deciding import deciding_lines, undertrained_lines
from lightprune.report.sections.speed import timed_runs

# What a sparsity may cost.
MARGIN = 0.005
_LINES = 3


def headline(findings: Findings) -> ResultRow | None:
    """The sparsest configuration within the margin, else the one that loses least.

    Where there are controls, those count that one can be held against; None if nothing was pruned.
    """
    rows = [row for row in findings.rows if row.pruned and row.name in findings.baselines]
    rows = [row for row in rows if findings.baselines[row.name].name] or rows

    def worth(row: ResultRow) -> tuple[bool, float, float]:
        change = findings.baselines[row.name].difference.mean
        within = change >= -MARGIN
        return within, row.first.target_sparsity if within else change, row.accuracy.mean

    return max(rows, key=worth, default=None)


def finding(findings: Findings) -> str:
    """The title of a report: what was pruned, at what cost, how much faster."""
    row = headline(findings)
    if not row:
        pruned = any(row.pruned for row in findings.rows)
        what = "no dense network to hold them against" if pruned else "nothing pruned"
        return f"{counted(len(findings.collection.runs), 'run')}, {what}"
    baseline = findings.baselines[row.name]
    change = baseline.difference.mean
    seeds = _fewer_seeds(row, baseline)
    cost = f"{pp_label(change)} pp to {baseline.words}{seeds}"
    title = f"{percent_label(row.first.target_sparsity)} of the weights pruned, {cost}"
    if row.mac_density is not None:
        title += f", {percent(row.mac_density, 1)} of the MACs left"
    speedup = _speedups(row)
    return title + (f", {speedup[0].over_dense:.1f} × as fast" if speedup else "")


def main_part(findings: Findings, about: str) -> Iterator[Block]:
    """The blocks below the title."""
    row = headline(findings)
    data = "; ".join(dict.fromkeys(row.first.dataset for row in findings.rows))
    named = ""
    if row:
        baseline = findings.baselines[row.name]
        rule = f"the sparsest within {100 * MARGIN:g} pp of {baseline.words}"
        if baseline.difference.mean < -MARGIN:
            rule = f"which loses least: none is within {100 * MARGIN:g} pp of {baseline.words}"
        named = f" Title and tiles: **{escaped(row.name)}**, {rule}."
    yield f"{about}. {data}.{named}"
    if count := len(findings.collection.left_out):
        yield f"{count} left out, not finished or damaged: see Provenance."
    if row:
        yield Tiles(tuple(_tiles(row, findings.baselines[row.name])))
    yield from _figure(findings)
    if best := _best_by_sparsity(findings):
        yield Table.of(_best_rows(findings, best)).filled
        yield _best_words(findings)
    if lines := [
        *undertrained_lines(findings),
        *[*deciding_lines(findings, row)][:_LINES],
    ]:
        yield bullets(lines)


def _tiles(row: ResultRow, baseline: Baseline) -> Iterator[tuple[str, str, str]]:
    live = percent_label(row.live_sparsity)
    reached = "of the weights that some input reaches"
    yield "sparsity", percent_label(row.sparsity), f"{live} {reached}"
    interval = f"95 % interval {baseline.interval}: " if baseline.interval else ""
    seeds = counted(len(row.runs), "seed")
    difference = f"{baseline.difference.pp} pp"
    yield (
        f"to {baseline.words}",
        difference,
        f"{interval}{baseline.verdict or seeds}{_fewer_seeds(row, baseline)}",
    )
    if row.mac_density is not None:
        yield "MACs left", percent(row.mac_density, 1), f"{row.accuracy.percent} accurate, {seeds}"
    if speedups := _speedups(row):
        values = " / ".join(f"{at.over_dense:.1f} ×" for at in speedups)
        batches = " / ".join(str(at.batch) for at in speedups)
        machine = next(run.bench.machine.label for run in row.runs if run.bench)
        where = f"{counted(speedups[0].threads, 'thread')} of {machine}"
        yield "speed-up", values, f"batch {batches}, over the fastest dense backend, {where}"


def _fewer_seeds(row: ResultRow, baseline: Baseline) -> str:
    seeds = baseline.seeds_label(len(row.runs))
    return f" on {seeds}" if seeds else ""


def _speedups(row: ResultRow) -> list[Speedup]:
    """Of the first run that was timed, with the most threads, by batch size."""
    for timed in timed_runs([row.group] if row.group else []):
        return [at for at in timed.speedups(timed.batches) if at.over_dense]
    return []


def _figure(findings: Findings) -> Iterator[Block]:
    # Accuracies on other images would not be comparable, and the control stands first.
    head = headline(findings)
    rows = [row for row in findings.rows if not head or row.task == head.task]
    control = findings.baselines[head.name].name if head else ""
    charts = frontier_charts(sorted(rows, key=lambda row: row.name != control))
    if not charts:
        return
    caption = (
        "A mark is a configuration, the mean over its seeds; bars are the 95 % interval that the "
        "number of test images allows (Wilson); a mark with an arrow lies below the figure. "
        "Bands: the dense network trained as long, or as it was before pruning. Thick line: no "
        "configuration is both cheaper and more accurate."
    )
    if len({row.series for row in rows if row.pruned}) > STYLES:
        caption += " Pale marks: all others; point at a mark for what it is."
    if head and len(rows) < len(findings.rows):
        caption += f" Of {head.first.dataset} and the network of the title alone."
    figures: dict[str, Figure] = {}
    for name, svg in charts.items():
        file = f"frontier-{name.replace(' ', '-')}" if figures else "frontier"
        figures[name] = chart_figure(file, f"Test accuracy against {name}", caption, svg)
    yield Choice(figures)


def _best_by_sparsity(findings: Findings) -> list[tuple[ResultRow, int]]:
    """The most accurate configuration of each sparsity of a network on its images; of how many."""
    rows: dict[tuple[object, str], list[ResultRow]] = {}
    for row in sorted(findings.rows, key=lambda row: (row.task, row.first.target_sparsity)):
        if row.pruned:
            sparsity = percent_label(row.first.target_sparsity)
            rows.setdefault((row.task, sparsity), []).append(row)
    return [(max(same, key=lambda r: r.accuracy.mean), len(same)) for same in rows.values()]


def _best_rows(findings: Findings, best: list[tuple[ResultRow, int]]) -> Iterator[dict[str, str]]:
    batches = sorted({at.batch for row, _ in best for at in _speedups(row)})
    for row, count in best:
        yield _best_row(findings, row, count, batches)


def _best_row(findings: Findings, row: ResultRow, count: int, batches: list[int]) -> dict[str, str]:
    baseline = findings.baselines.get(row.name)
    controls = any(each.name for each in findings.baselines.values())
    data, networks = (len({each.task[n] for each in findings.rows}) > 1 for n in (0, 1))
    speedups = {at.batch: f"{at.over_dense:.1f} ×" for at in _speedups(row)}
    return {
        "best of each sparsity": link(row.name, row.first.folder),
        "chosen from": f"{count}",
        "test accuracy": row.accuracy.percent,
        **baseline_columns(row, baseline, controls),
        "live sparsity": percent(row.live_sparsity),
        "MACs left": percent(row.mac_density, 1),
        **{f"speed-up, batch {batch}": speedups.get(batch, "") for batch in batches},
        "epochs": row.epochs,
        "training (min)": findings.training_time.minutes_label(row.first),
        "seeds": f"{len(row.runs)}",
        "network": row.first.network if networks else "",
        "data": row.first.dataset if data else "",
    }


def _best_words(findings: Findings) -> str:
    words = (
        "Best: of the highest accuracy, whatever its training; the title's is chosen by its "
        "difference to its baseline. "
    )
    if any(baseline.verdict for baseline in findings.baselines.values()):
        words += (
            "Verdict: McNemar's test, corrected after Holm; "
            f"“{UNCORRECTED}”: the difference's own 95 % interval alone excludes 0; "
            "“not separated”: not shown to differ, nor shown equal. "
        )
    return f"{words}Training: both phases of one seed, {findings.training_time.source}."


def baseline_columns(
    row: ResultRow, baseline: Baseline | None, controls: bool = True
) -> dict[str, str]:
    """Difference and verdict; it is said what has no control beside others, or fewer seeds."""
    name = "to control (pp)" if controls else "to its dense (pp)"
    if not baseline:
        return {name: "", "verdict": ""}
    dense = "dense, no control" if controls and not baseline.name else ""
    notes = "; ".join(filter(None, (dense, baseline.seeds_label(len(row.runs)))))
    cell = f"{baseline.difference.pp} ({notes})" if notes else baseline.difference.pp
    return {name: cell, "verdict": baseline.verdict}
