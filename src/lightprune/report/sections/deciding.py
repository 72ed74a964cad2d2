"""What decides accuracy and cost: which weights go, how one trains, where the zeros lie."""

from collections.abc import Iterator

from lightprune.rendering.document import escaped
from lightprune.rendering.number_format import percent, percent_label
from lightprune.report.comparisons import other_training
from lightprune.report.findings import Findings
from lightprune.report.groups import training_label
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.unreachable import unreachable_lines

# A network that gains so much by more epochs was undertrained.
_UNDERTRAINED = 0.01


def deciding_lines(findings: Findings, row: ResultRow | None) -> Iterator[str]:
    """What decides accuracy and cost among runs of a row's task, the most telling first.

    Unreachable weights come last, of any run.
    """
    if not row:
        return
    pruned = [other for other in findings.rows if other.pruned and other.task == row.task]
    sparsities = [other.first.target_sparsity for other in pruned]
    if sparsities.count(row.first.target_sparsity) == 1:
        # Alone it tells nothing: where most can be compared.
        row = max(pruned, key=lambda other: sparsities.count(other.first.target_sparsity))
    run = row.first
    alike = [other for other in pruned if other.first.target_sparsity == run.target_sparsity]
    same = [other for other in alike if not other_training(other.first, run)]
    sparsity = percent_label(run.target_sparsity)
    low, high = (pick(same, key=lambda r: r.accuracy.mean) for pick in (min, max))
    if _kind(low) != _kind(high):
        yield (
            f"Which weights go: at {sparsity} and equal training the accuracy is from "
            f"{low.accuracy.percent} ({escaped(low.series)}) to {high.accuracy.percent} "
            f"({escaped(high.series)})."
        )
    longer = [other for other in alike if _kind(other) == _kind(row)]
    short, long = (pick(longer, key=lambda r: r.accuracy.mean) for pick in (min, max))
    if training_label(short.first) != training_label(long.first):
        yield (
            f"How one trains: {_kind(row)} at {sparsity} has {short.accuracy.percent} after "
            f"{training_label(short.first)}, {long.accuracy.percent} after "
            f"{training_label(long.first)}."
        )
    known = [other for other in same if other.mac_density is not None]
    if len(known) > 1:
        few, many = (pick(known, key=lambda r: r.mac_density or 0) for pick in (min, max))
        least, most = (percent(each.mac_density, 1) for each in (few, many))
        if least != most:
            yield (
                f"Where the zeros lie: at {sparsity} from {least} ({escaped(few.series)}) to "
                f"{most} of the MACs are left ({escaped(many.series)})."
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
                f"**{dense.name}** is undertrained: {escaped(best.name)} is {best.difference.pp} "
                "pp above it, so a difference to it flatters pruning"
                + (
                    "."
                    if any(not row.pruned for row in later)
                    else "; `pruner=none` makes a control."
                )
            )


def _kind(row: ResultRow) -> str:
    return row.group.kind if row.group else ""
