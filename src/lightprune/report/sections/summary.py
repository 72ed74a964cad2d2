"""The findings in a few lines, for who has two minutes."""

from collections.abc import Iterator, Sequence

from lightprune.rendering.document import Block, bullets
from lightprune.report.findings import Findings
from lightprune.report.groups import percent_label, training_label
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.speed import fastest_lines, speed_lines
from lightprune.report.sections.unreachable_weights import (
    first_against_rank_lines,
    unreachable_lines,
)
from lightprune.report.statistics import pp_label

# How much accuracy a sparsity may cost: the project's targets.
_MARGINS = (0.003, 0.01)
# Of configurations that one line names, how many it describes.
_DESCRIBED = 2


def summary_section(findings: Findings, added: Sequence[str] = ()) -> Iterator[Block]:
    """Accuracies, how far one may prune, what no input reaches, speed."""
    if count := len(findings.collection.left_out):
        yield (
            f"{len(findings.collection.runs)} finished runs; {count} run folder(s) left out, "
            "which are named under Provenance."
        )
    lines = [
        _accuracy_line(findings, row) for row in findings.rows if row.published or not row.pruned
    ]
    by_training: dict[str, list[ResultRow]] = {}
    for row in findings.rows:
        if row.pruned:
            by_training.setdefault(training_label(row.first), []).append(row)
    for training, rows in by_training.items():
        lines += _highest_sparsity_lines(findings, training, rows)
    lines += _scope_lines(findings)
    lines += unreachable_lines(findings)
    lines += first_against_rank_lines(findings)
    lines += _speed_lines(findings)
    yield bullets((*lines, *added))


def _accuracy_line(findings: Findings, row: ResultRow) -> str:
    line = f"**{row.name}**: {row.accuracy.percent}"
    if row.difference:
        line += f", {row.difference.pp} pp to its own dense network"
    if row.published and findings.published:
        line += f" ({findings.published.name}: {100 * row.published.accuracy:.1f} %)"
    line += f"; seed {row.seeds}" if row.seeds else ""
    line += "" if "epochs" in row.name else f"; {row.epochs} epochs"
    return f"{line}; {row.first.dataset}."


def _highest_sparsity_lines(
    findings: Findings, training: str, rows: list[ResultRow]
) -> Iterator[str]:
    """The highest sparsity whose mean loss is within a margin, and all that reach it."""
    shown: list[ResultRow] = []
    for margin in _MARGINS:
        within = [row for row in rows if row.difference and row.difference.mean >= -margin]
        most = max((row.first.target_sparsity for row in within), default=0.0)
        best = [row for row in within if row.first.target_sparsity == most]
        criterion = f"within {100 * margin:.1f} pp of its own dense network, {training}"
        if not best:
            yield f"No sparsity measured is {criterion}."
        elif best != shown:  # What a small margin allows needs no second line.
            named = [_described(findings, row, margin) for row in best[:_DESCRIBED]]
            rest = [f"**{row.name}**" for row in best[_DESCRIBED:]]
            also = f"; as sparse and within it, too: {', '.join(rest)}" if rest else ""
            yield f"The highest sparsity measured {criterion}: {', '.join(named)}{also}."
        shown = best


def _described(findings: Findings, row: ResultRow, margin: float) -> str:
    loss = f"{row.difference.pp if row.difference else ''} pp"
    tests = [c.paired for c in findings.against_dense if c.first == row.name and c.paired]
    if len(tests) == 1:  # Several seeds have their spread.
        loss += f", 95 % interval {tests[0].interval_label}"
        loss += ", so it may be more" if tests[0].interval[0] < -margin else ""
    macs = "unknown" if row.mac_density is None else percent_label(row.mac_density)
    return (
        f"**{row.name}** ({loss}; live sparsity {percent_label(row.live_sparsity)}, {macs} of the "
        "MACs left)"
    )


def _speed_lines(findings: Findings) -> Iterator[str]:
    """Of groups with a published figure and the fastest that lose little; else of all."""
    published = {row.name for row in findings.rows if row.published}
    groups = [group for group in findings.groups if group.name in published]
    lines = [*speed_lines(groups)]
    yield from lines or speed_lines(findings.groups)
    if lines:
        yield from fastest_lines(findings.groups, _MARGINS[-1])


def _scope_lines(findings: Findings) -> Iterator[str]:
    by_name = {group.name: group for group in findings.groups}
    for c in findings.between:
        kinds = (by_name[c.first].kind, by_name[c.second].kind)
        if kinds == ("global one_shot", "local one_shot") and c.paired and not c.obstacle:
            sparsity = percent_label(by_name[c.first].first.target_sparsity)
            yield (
                f"Global against local at {sparsity}, seed {c.seed}: "
                f"{pp_label(c.paired.difference)} pp (95 % interval {c.paired.interval_label}); "
                f"{c.verdict}."
            )
