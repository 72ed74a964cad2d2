"""Paired comparisons between configurations, as a matrix; the rest is CSV."""

from collections.abc import Iterator

from lightprune.rendering.document import Block
from lightprune.rendering.heat_map import heat_map
from lightprune.rendering.number_format import counted
from lightprune.rendering.svg import chart_figure
from lightprune.report.baseline import tests_between, verdict
from lightprune.report.comparisons import LEVEL, UNCORRECTED
from lightprune.report.findings import Findings
from lightprune.report.groups import training_label

_SIGNS = {
    "more accurate": (1.0, "+"),
    "less accurate": (-1.0, "−"),
    f"more accurate {UNCORRECTED}": (0.3, "↑"),
    f"less accurate {UNCORRECTED}": (-0.3, "↓"),
    "not separated": (0.0, "="),
}


def significance_section(findings: Findings) -> Iterator[Block]:
    """What was compared, and what may be ranked."""
    dense, runs = findings.against_dense, findings.between
    # Of one configuration the table of all runs says it already.
    if len(findings.groups) == 1 or not any(c.paired for c in (*dense, *runs)):
        return
    tests = [sum(c.paired is not None for c in group) for group in (dense, runs)]
    yield (
        "McNemar's test, exact and two-sided, on the same test images. p is corrected after Holm "
        f"for {counted(tests[0], 'comparison')} with dense networks and {tests[1]} between runs; "
        f"below {LEVEL:g} the test separates two networks. Intervals are those of single "
        "differences, of all their seeds (Wald's, adjusted after Bonett and Price), not corrected: "
        "where one excludes "
        f"0 and the corrected p does not separate, the verdict says “{UNCORRECTED}”. This speaks "
        "of these trained networks, not of other seeds. Nothing is ranked where budgets (epochs, "
        "recipe), precision or data differ. Every comparison, with its counts and p: "
        "comparisons.csv."
    )
    ranked = [c for c in runs if c.paired and not c.obstacle]
    if not ranked:
        yield "No two runs of equal seed, budget and data answer the same question."
        return
    compared = {name for c in ranked for name in (c.first, c.second)}
    groups = sorted(findings.groups, key=lambda group: training_label(group.first))
    names = [group.name for group in groups if group.name in compared]
    rows = []
    for number, name in enumerate(names, 1):
        cells = []
        for other in names:
            pairs = tests_between(ranked, name, other)
            cells.append(_SIGNS.get(verdict(pairs), (0.0, "?")) if pairs else (0.0, ""))
        rows.append((f"{name}  {number}", cells))
    title = "Which configuration is more accurate"
    caption = (
        "Row against column, of equal seed, budget, precision and data, where their nominal "
        "sparsity is the same or one of them is the control: + more accurate, − less accurate, "
        f"↑ and ↓ so {UNCORRECTED} alone, = not separated, ? not so in every seed; empty: not "
        "compared."
    )
    svg = heat_map(title, [str(n) for n in range(1, len(names) + 1)], rows)
    yield chart_figure("statistics", title, caption, svg)
