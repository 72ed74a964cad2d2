"""What one reads first: the finding, four tiles, the best by sparsity, what decides it."""

from collections.abc import Iterator

from lightprune.bench.result import Speedup
from lightprune.rendering.chart import STYLES
from lightprune.rendering.document import Block, Choice, Figure, Table, Tiles, bullets
from lightprune.rendering.number_format import counted, percent, percent_label, pp_label
from lightprune.rendering.svg import chart_figure
from lightprune.report.baseline import Baseline
from lightprune.report.comparisons import UNCORRECTED
from lightprune.report.findings import Findings
from lightprune.report.frontier_figure import frontier_charts
from lightprune.report.groups import training_label
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.speed import BATCHES, timed_runs
from lightprune.report.sections.unreachable import unreachable_lines

# What a sparsity may cost.
MARGIN = 0.005
# A network that gains so much by more epochs was undertrained.
_UNDERTRAINED = 0.01
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
        return f"{counted(len(findings.collection.runs), 'run')}, nothing pruned"
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
        rule = f"the sparsest within {100 * MARGIN:g} pp of its baseline"
        if findings.baselines[row.name].difference.mean < -MARGIN:
            rule = f"which loses least: none is within {100 * MARGIN:g} pp of its baseline"
        named = f" Title and tiles: **{row.name}**, {rule}."
    yield f"{about}. {data}.{named}"
    if count := len(findings.collection.left_out):
        yield f"{count} left out, not finished or damaged: see Provenance."
    if row:
        yield Tiles(tuple(_tiles(row, findings.baselines[row.name])))
    yield from _figure(findings)
    if best := _best_by_sparsity(findings):
        yield Table.of(_best_row(findings, *pair) for pair in best).filled
        yield _best_words(findings)
    if lines := [*undertrained_lines(findings), *[*deciding_lines(findings)][:_LINES]]:
        yield bullets(lines)


def deciding_lines(findings: Findings) -> Iterator[str]:
    """What decides accuracy and cost among these runs, the most telling first."""
    row = headline(findings)
    if not row:
        return
    pruned = [other for other in findings.rows if other.pruned]
    sparsities = [other.first.target_sparsity for other in pruned]
    if sparsities.count(row.first.target_sparsity) == 1:
        # Alone it tells nothing: where most can be compared.
        row = max(pruned, key=lambda other: sparsities.count(other.first.target_sparsity))
    run = row.first
    alike = [other for other in pruned if other.first.target_sparsity == run.target_sparsity]
    same = [other for other in alike if training_label(other.first) == training_label(run)]
    sparsity = percent_label(run.target_sparsity)
    low, high = (pick(same, key=lambda r: r.accuracy.mean) for pick in (min, max))
    if low is not high:
        yield (
            f"Which weights go: at {sparsity} and equal training the accuracy is from "
            f"{low.accuracy.percent} ({low.series}) to {high.accuracy.percent} ({high.series})."
        )
    kind = row.group.kind if row.group else ""
    longer = [other for other in alike if other.group and other.group.kind == kind]
    short, long = (pick(longer, key=lambda r: r.accuracy.mean) for pick in (min, max))
    if training_label(short.first) != training_label(long.first):
        yield (
            f"How long one trains: {kind} at {sparsity} has {short.accuracy.percent} after "
            f"{training_label(short.first)}, {long.accuracy.percent} after "
            f"{training_label(long.first)}."
        )
    known = [other for other in same if other.mac_density is not None]
    if len(known) > 1:
        few, many = (pick(known, key=lambda r: r.mac_density or 0) for pick in (min, max))
        yield (
            f"Where the zeros lie: at {sparsity} from {percent(few.mac_density, 1)} "
            f"({few.series}) to {percent(many.mac_density, 1)} of the MACs are left "
            f"({many.series})."
        )
    yield from unreachable_lines(findings)


def undertrained_lines(findings: Findings) -> Iterator[str]:
    """Dense networks that gain much by training on: differences to them flatter pruning."""
    for dense in (row for row in findings.rows if not row.group):
        keys = {run.dense.weights_sha256 for run in dense.runs}
        later = [
            row
            for row in findings.rows
            if row.difference and {run.dense.weights_sha256 for run in row.runs} <= keys
        ]
        best = max(later, key=lambda r: r.difference.mean if r.difference else 0, default=None)
        if best and best.difference and best.difference.mean > _UNDERTRAINED:
            yield (
                f"**{dense.name}** is undertrained: {best.name} is {best.difference.pp} pp above "
                "it, so a difference to it flatters pruning"
                + ("." if _has_control(findings, later) else "; `pruner=none` makes a control.")
            )


def _has_control(findings: Findings, rows: list[ResultRow]) -> bool:
    return any(not row.pruned for row in rows)


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
        threads = max(timing.threads for timing in timed.bench.timings)
        return [at for at in timed.speedups(threads) if at.over_dense]
    return []


def _figure(findings: Findings) -> Iterator[Block]:
    charts = frontier_charts(findings.rows)
    if not charts:
        return
    caption = (
        "A mark is a configuration, the mean over its seeds; bars are the 95 % interval that the "
        "number of test images allows (Wilson); a mark with an arrow lies below the figure. "
        "Bands: the dense network trained as long, or as it was before pruning. Thick line: no "
        "configuration is both cheaper and more accurate."
    )
    if len({row.series for row in findings.rows if row.pruned}) > STYLES:
        caption += " Pale marks: all others; point at a mark for what it is."
    figures: dict[str, Figure] = {}
    for name, svg in charts.items():
        file = f"frontier-{name.replace(' ', '-')}" if figures else "frontier"
        figures[name] = chart_figure(file, f"Test accuracy against {name}", caption, svg)
    yield Choice(figures)


def _best_by_sparsity(findings: Findings) -> list[tuple[ResultRow, int]]:
    """The most accurate configuration of each sparsity, and of how many."""
    rows: dict[str, list[ResultRow]] = {}
    for row in sorted(findings.rows, key=lambda row: row.first.target_sparsity):
        if row.pruned:
            rows.setdefault(percent_label(row.first.target_sparsity), []).append(row)
    return [(max(same, key=lambda r: r.accuracy.mean), len(same)) for same in rows.values()]


def _best_row(findings: Findings, row: ResultRow, count: int) -> dict[str, str]:
    baseline = findings.baselines.get(row.name)
    controls = any(each.name for each in findings.baselines.values())
    speedups = {at.batch: f"{at.over_dense:.1f} ×" for at in _speedups(row)}
    return {
        "best of each sparsity": f"[{row.name}](../{row.first.folder})",
        "chosen from": f"{count}",
        "test accuracy": row.accuracy.percent,
        **baseline_columns(row, baseline, controls),
        "live sparsity": percent(row.live_sparsity),
        "MACs left": percent(row.mac_density, 1),
        **{f"speed-up, batch {batch}": speedups.get(batch, "") for batch in BATCHES},
        "epochs": row.epochs,
        "training (min)": findings.training_time.minutes_label(row.first),
        "seeds": f"{len(row.runs)}",
    }


def _best_words(findings: Findings) -> str:
    words = (
        "Best: of the highest accuracy, whatever its training; the title's is chosen by its "
        "difference to its baseline. "
    )
    if any(baseline.verdict for baseline in findings.baselines.values()):
        words += (
            "Verdict: McNemar's test, corrected after Holm for every comparison of the report; "
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
