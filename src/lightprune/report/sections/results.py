"""The result table, of a report."""

from collections.abc import Iterator

from lightprune.rendering.document import Block, Table
from lightprune.report.findings import Findings
from lightprune.report.groups import mac_share
from lightprune.report.published import Published
from lightprune.report.result_table import ResultRow
from lightprune.report.statistics import MeanStd


def results_section(findings: Findings) -> Iterator[Block]:
    """The table, and what its columns mean."""
    spread = (
        "± is the sample standard deviation over the seeds"
        if any(len(group.runs) > 1 for group in findings.groups)
        else "with one seed a configuration, how much another seed would change is not known from "
        "these runs"
    )
    yield (
        "Accuracy on the test images, read once, at the end. The interval is Wilson's, for the "
        f"number of test images alone; {spread}. The difference is to each run's own dense "
        "network, which has trained fewer epochs; the control has trained as many. Rows stand in "
        "the order of what was done, not of accuracy: the table ranks nothing, the paired "
        "comparisons below do where they may."
    )
    yield Table.of(result_columns(row, findings.published) for row in findings.rows)
    if findings.published:
        yield findings.published.note
    if any(run.data.validation_is_test for run in findings.collection.runs):
        yield "Some runs were validated on the test set: see Provenance."


def result_columns(row: ResultRow, published: Published | None = None) -> dict[str, str]:
    """A row of the table, by column."""
    low, high = row.interval
    figure = f"{100 * row.published.accuracy:.1f} %" if row.published else ""
    seconds = f"{MeanStd.of([run.dense.seconds for run in row.runs]).mean:.0f}"
    if row.group:
        seconds += f" + {MeanStd.of([run.seconds.finetune for run in row.runs]).mean:.0f}"
    return {
        "configuration": row.name,
        "seeds": row.seeds,
        "test accuracy": row.accuracy.percent,
        "95 % interval": f"{100 * low:.1f} to {100 * high:.1f}",
        "to its dense (pp)": row.difference.pp if row.difference else "",
        **({published.name: figure} if published else {}),
        "sparsity": f"{100 * row.sparsity:.2f} %",
        "live sparsity": f"{100 * row.live_sparsity:.2f} %",
        "MACs left": mac_share(row.mac_density),
        "epochs": row.epochs,
        "seconds": seconds,
        "data": row.first.dataset,
    }
