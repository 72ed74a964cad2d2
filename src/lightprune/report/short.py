"""The findings in a few lines, for who has two minutes."""

from lightprune.report.cells import Cell, asked_sparsity, percent
from lightprune.report.comparisons import Comparison
from lightprune.report.document import Bullets, Section
from lightprune.report.results import Row
from lightprune.report.wording import accuracy_text, points, points_text

# How much accuracy a sparsity may cost: the project's targets.
_MARGINS = (0.003, 0.01)


def in_short(cells: tuple[Cell, ...], rows: list[Row], runs: tuple[Comparison, ...]) -> Section:
    """Dense, the study's cells, how far one may prune, global against local."""
    own = dict(zip((cell.name for cell in cells), rows[-len(cells) :], strict=True))
    lines = [_against_study(row) for row in rows if row.difference is None or row.published]
    lines += [line for margin in _MARGINS if (line := _furthest(cells, own, margin))]
    lines += _scopes(cells, runs)
    return Section("In short", (Bullets(tuple(lines)),))


def _against_study(row: Row) -> str:
    line = f"**{row.cell}**: {accuracy_text(row.accuracy)}"
    if row.difference:
        line += f", {points_text(row.difference)} points to its own dense network"
    if row.published:
        line += f" (the study: {100 * row.published.accuracy:.1f} %)"
    return f"{line}; seed {row.seeds}; {row.epochs} epochs; {row.data}."


def _furthest(cells: tuple[Cell, ...], own: dict[str, Row], margin: float) -> str:
    """The sparsest cell whose mean loss is within a margin."""
    within = [
        cell
        for cell in cells
        if cell.first.events and (d := own[cell.name].difference) and d.mean >= -margin
    ]
    if not within:
        return ""
    best = max(within, key=lambda cell: asked_sparsity(cell.first))
    row = own[best.name]
    assert row.difference is not None
    return (
        f"The sparsest cell within {100 * margin:.1f} points of its own dense network: "
        f"**{best.name}** ({points_text(row.difference)} points; live sparsity "
        f"{row.live_sparsity:.2%}, {row.mac_density:.1%} of the MACs left)."
    )


def _scopes(cells: tuple[Cell, ...], runs: tuple[Comparison, ...]) -> list[str]:
    """What the paired tests say of global against local at equal sparsity."""
    by_name = {cell.name: cell for cell in cells}
    lines = []
    for c in runs:
        kinds = (by_name[c.first].kind, by_name[c.second].kind)
        if kinds == ("global one_shot", "local one_shot") and c.paired:
            sparsity = percent(asked_sparsity(by_name[c.first].first))
            low, high = c.paired.interval
            lines.append(
                f"Global against local at {sparsity}, seed {c.seed}: "
                f"{points(c.paired.difference)} points (95 % interval {points(low)} to "
                f"{points(high)}); {c.verdict}."
            )
    return lines
