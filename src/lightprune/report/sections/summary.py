"""The findings in a few lines, for who has two minutes."""

from collections.abc import Iterator, Sequence

from lightprune.rendering.document import Block, Bullets, Section, Text
from lightprune.report.findings import Findings
from lightprune.report.groups import percent, target_sparsity, trained
from lightprune.report.published import Published
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.dead_weights import first_against_rank, never_alive
from lightprune.report.sections.speed import fastest_lines, speed_lines
from lightprune.report.statistics import points

# How much accuracy a sparsity may cost: the project's targets.
_MARGINS = (0.003, 0.01)
# Of cells that one line names, how many it describes.
_DESCRIBED = 2


def short(findings: Findings, added: Sequence[str] = ()) -> Section:
    """Accuracies, how far one may prune, what no input reaches, speed."""
    blocks: list[Block] = []
    if gone := len(findings.collection.left_out):
        blocks.append(
            Text(
                f"{len(findings.collection.runs)} finished runs; {gone} run folder(s) left out, "
                "which are named under Provenance."
            )
        )
    lines = [
        _outcome(row, findings.published)
        for row in findings.rows
        if row.published or not row.pruned
    ]
    for training in dict.fromkeys(trained(row.runs[0]) for row in findings.rows if row.pruned):
        lines += _furthest(findings, training)
    lines += [*_scopes(findings), *never_alive(findings), *first_against_rank(findings)]
    lines += _speeds(findings)
    return Section("In short", (*blocks, Bullets((*lines, *added))))


def _outcome(row: ResultRow, published: Published | None) -> str:
    line = f"**{row.name}**: {row.accuracy.percent}"
    if row.difference:
        line += f", {row.difference.points} points to its own dense network"
    if row.published and published:
        line += f" ({published.name}: {100 * row.published.accuracy:.1f} %)"
    line += f"; seed {row.seeds}" if row.seeds else ""
    line += "" if "epochs" in row.name else f"; {row.epochs} epochs"
    return f"{line}; {row.data}."


def _furthest(findings: Findings, training: str) -> Iterator[str]:
    """The highest sparsity whose mean loss is within a margin, and every cell that reaches it."""
    rows = [row for row in findings.rows if row.pruned and trained(row.runs[0]) == training]
    shown: list[ResultRow] = []
    for margin in _MARGINS:
        within = [row for row in rows if row.difference and row.difference.mean >= -margin]
        most = max((target_sparsity(row.runs[0]) for row in within), default=0.0)
        best = [row for row in within if target_sparsity(row.runs[0]) == most]
        asked = f"within {100 * margin:.1f} points of its own dense network, {training}"
        if not best:
            yield f"No sparsity measured is {asked}."
        elif best != shown:  # What a small margin allows needs no second line.
            named = [_named(findings, row, margin) for row in best[:_DESCRIBED]]
            rest = [f"**{row.name}**" for row in best[_DESCRIBED:]]
            also = f"; as sparse and within it, too: {', '.join(rest)}" if rest else ""
            yield f"The highest sparsity measured {asked}: {', '.join(named)}{also}."
        shown = best


def _named(findings: Findings, row: ResultRow, margin: float) -> str:
    loss = row.difference.points if row.difference else ""
    return (
        f"**{row.name}** ({loss} points{_doubt(findings, row, margin)}; live sparsity "
        f"{percent(row.live_sparsity)}, {percent(row.mac_density)} of the MACs left)"
    )


def _doubt(findings: Findings, row: ResultRow, margin: float) -> str:
    """For one seed, the 95 % interval, and what it leaves open; several have their spread."""
    tests = [c.paired for c in findings.against_dense if c.first == row.name and c.paired]
    if len(tests) != 1:
        return ""
    low, high = tests[0].interval
    more = ", so it may be more" if low < -margin else ""
    return f", 95 % interval {points(low)} to {points(high)}{more}"


def _speeds(findings: Findings) -> Iterator[str]:
    """Of cells with a published figure and the fastest that lose little; else of all cells."""
    published = {row.name for row in findings.rows if row.published}
    cells = [cell for cell in findings.cells if cell.name in published]
    lines = [*speed_lines(cells)]
    yield from lines or speed_lines(findings.cells)
    if lines:
        yield from fastest_lines(findings.cells, _MARGINS[-1])


def _scopes(findings: Findings) -> Iterator[str]:
    """What the paired tests say of global against local at equal sparsity."""
    by_name = {cell.name: cell for cell in findings.cells}
    for c in findings.between:
        kinds = (by_name[c.first].kind, by_name[c.second].kind)
        if kinds == ("global one_shot", "local one_shot") and c.paired and not c.obstacle:
            low, high = c.paired.interval
            yield (
                f"Global against local at {percent(target_sparsity(by_name[c.first].first))}, seed "
                f"{c.seed}: {points(c.paired.difference)} points (95 % interval {points(low)} to "
                f"{points(high)}); {c.verdict}."
            )
