"""Paired comparisons: runs against their dense networks, and against each other."""

from collections.abc import Iterator

from lightprune.rendering.document import Block, Table, bullets
from lightprune.report.comparisons import LEVEL, Comparison
from lightprune.report.findings import Findings
from lightprune.report.statistics import pp_label


def significance_section(findings: Findings) -> Iterator[Block]:
    """What was compared, what the test says, and what may be ranked."""
    dense, runs = findings.against_dense, findings.between
    tests = [sum(c.paired is not None for c in group) for group in (dense, runs)]
    yield (
        "McNemar's test, exact and two-sided, on the same test images: it looks at the images "
        f"that only one of two networks has right. p is corrected after Holm for the {tests[0]} "
        f"comparisons with dense networks and the {tests[1]} between runs; below {LEVEL:g} the "
        "test separates two networks. Intervals are those of single comparisons (Wald's, adjusted "
        "after Bonett and Price), not corrected. This speaks of these trained networks, not of "
        "other seeds. Nothing is ranked where it does not separate them, nor where budgets "
        "(epochs, recipe) or data differ."
    )
    if tested := [c for c in dense if c.paired]:
        yield "**Against their dense networks.**"
        yield Table.of(map(_row, tested))
    if ranked := [c for c in runs if not c.obstacle]:
        yield (
            "**Between runs** of equal seed, budget and data, where their nominal sparsity is "
            "the same or one of them is the control."
        )
        yield Table.of(map(_row, ranked))
    else:
        yield "No two runs of equal seed, budget and data answer the same question."
    if not_ranked := [c for c in runs if c.obstacle]:
        yield "**Not ranked**, though they prune alike:"
        yield bullets(f"{c.first} – {c.second} (seed {c.seed}): {c.verdict}" for c in not_ranked)


def _row(c: Comparison) -> dict[str, str]:
    assert c.paired is not None
    assert c.corrected is not None
    return {
        "first": c.first,
        "second": c.second,
        "seed": str(c.seed),
        "only first right": f"{c.paired.only_first:,}",
        "only second right": f"{c.paired.only_second:,}",
        "difference (pp)": pp_label(c.paired.difference),
        "95 % interval": c.paired.interval_label,
        "p, corrected": "<0.0001" if c.corrected < 1e-4 else f"{c.corrected:.4f}",
        "what follows": c.verdict,
    }
