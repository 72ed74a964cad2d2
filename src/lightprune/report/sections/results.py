"""The result table, of a report."""

from lightprune.rendering.document import Block, Section, Table
from lightprune.report.findings import Findings
from lightprune.report.groups import mac_share
from lightprune.report.published import Published, PublishedFigure
from lightprune.report.result_table import ResultRow
from lightprune.report.statistics import wilson_interval


def results_section(findings: Findings) -> Section:
    """The table, and what its columns mean."""
    groups = findings.groups
    several = any(len(group.runs) > 1 for group in groups)
    words = (
        "Accuracy on the test images, read once, at the end. The interval is Wilson's, for the "
        "number of test images alone; "
        + (
            "± is the sample standard deviation over the seeds. "
            if several
            else "with one seed a configuration, how much another seed would change is not known "
            "from these runs. "
        )
        + "The difference is to each run's own dense network, which has trained fewer epochs; the "
        "control has trained as many. Rows stand in the order of what was done, not of accuracy: "
        "the table ranks nothing, the paired comparisons below do where they may."
    )
    published = findings.published
    table = Table.of(result_columns(row, published) for row in findings.rows)
    blocks: list[Block] = [words, table]
    if published:
        blocks.append(published.note)
    if any(run.data.validation_is_test for group in groups for run in group.runs):
        blocks.append("Some runs were validated on the test set: see Provenance.")
    return Section("Results", tuple(blocks))


def result_columns(row: ResultRow, published: Published | None = None) -> dict[str, str]:
    """A row of the table, by column."""
    low, high = wilson_interval(round(row.accuracy.mean * row.images), row.images)
    return {
        "configuration": row.name,
        "seeds": row.seeds,
        "test accuracy": row.accuracy.percent,
        "95 % interval": f"{100 * low:.1f} to {100 * high:.1f}",
        "to its dense (pp)": row.difference.pp if row.difference else "",
        **({published.name: _accuracy(row.published)} if published else {}),
        "sparsity": f"{100 * row.sparsity:.2f} %",
        "live sparsity": f"{100 * row.live_sparsity:.2f} %",
        "MACs left": mac_share(row.mac_density),
        "epochs": row.epochs,
        "seconds": row.seconds,
        "data": row.data,
    }


def _accuracy(figure: PublishedFigure | None) -> str:
    return f"{100 * figure.accuracy:.1f} %" if figure else ""
