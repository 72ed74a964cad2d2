"""The result table, beside the study's published figures."""

from lightprune.rendering.document import Block, Section, Table, Text
from lightprune.report.findings import Findings
from lightprune.report.result_table import ResultRow
from lightprune.report.statistics import wilson
from lightprune.study.reference import CAVEATS, FIGURES, NAME, comparable


def results(findings: Findings) -> Section:
    """The table beside the study's figures."""
    cells = findings.cells
    several = any(len(cell.runs) > 1 for cell in cells)
    words = (
        "Accuracy on the test images, read once, at the end. The interval is Wilson's, for the "
        "number of test images alone; "
        + (
            "± is the sample standard deviation over the seeds. "
            if several
            else "with one seed a cell, how much another seed would change is not known from these "
            "runs. "
        )
        + "The difference is to each run's own dense network, which has trained fewer epochs; the "
        "control has trained as many. Rows stand in the order of what was done, not of accuracy: "
        "the table ranks nothing, the paired comparisons below do where they may."
    )
    blocks: list[Block] = [Text(words), Table.of(map(result_row, findings.rows))]
    if any(comparable(cell.first) for cell in cells):
        quoted = ", ".join(f"{f.label} {100 * f.accuracy:.1f} %" for f in FIGURES)
        blocks.append(Text(f"Column “study”: {NAME}: {quoted}. {CAVEATS}"))
    else:
        blocks.append(
            Text(
                f"These runs are of another network or other images than {NAME}; its figures "
                "(dense 86.9 %, global 98 % 86.8 %, local 94 % 82.8 %) are not held against them."
            )
        )
    if any(run.data.validation_is_test for cell in cells for run in cell.runs):
        blocks.append(Text("Some runs were validated on the test set: see Provenance."))
    return Section("Results", tuple(blocks))


def result_row(row: ResultRow) -> dict[str, str]:
    """A row of the table, by column."""
    low, high = wilson(round(row.accuracy.mean * row.images), row.images)
    return {
        "cell": row.name,
        "seeds": row.seeds,
        "test accuracy": row.accuracy.percent,
        "95 % interval": f"{100 * low:.1f} to {100 * high:.1f}",
        "to its dense (points)": row.difference.points if row.difference else "",
        "study": f"{100 * row.published.accuracy:.1f} %" if row.published else "",
        "sparsity": f"{100 * row.sparsity:.2f} %",
        "live sparsity": f"{100 * row.live_sparsity:.2f} %",
        "MACs left": f"{100 * row.mac_density:.1f} %",
        "epochs": row.epochs,
        "seconds": row.seconds,
        "data": row.data,
    }
