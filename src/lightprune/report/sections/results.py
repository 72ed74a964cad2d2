"""Every configuration: its accuracy, its cost, and what its prune events did."""

from collections.abc import Iterator, Sequence

from lightprune.rendering.document import Block, Table, link
from lightprune.rendering.number_format import percent, pp_label
from lightprune.report.findings import Findings
from lightprune.report.reported_run import ReportedRun
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.headline import baseline_columns


def results_section(findings: Findings) -> Iterator[Block]:
    """The table, and what its columns mean."""
    spread = (
        "± is the sample standard deviation over the seeds"
        if any(len(group.runs) > 1 for group in findings.groups)
        else "with one seed a configuration, how much another seed would change is not known from "
        "these runs"
    )
    words = (
        "Accuracy on the test images, read once, at the end; the interval is Wilson's, for the "
        f"number of test images alone; {spread}. The control is the dense network trained as long "
        "on the same recipe, compared over the seeds that both have. Worst drop: validation "
        "accuracy lost at one prune event; recovered: epochs until it was back."
    )
    reached = {percent(row.mac_density, 1) for row in findings.rows if not row.group}
    if shares := sorted(reached - {percent(1.0, 1), percent(None)}):
        words += (
            " MACs left: without those of weights that no input reaches, so that even a dense "
            f"network has {' or '.join(shares)}."
        )
    if not any(baseline.name for baseline in findings.baselines.values()):
        words += " These runs have no control: differences are to each run's own dense network."
    yield words
    table = (result_columns(findings, row) for row in findings.rows)
    yield Table.of(table, "[results.csv](results.csv), or this table in report.html").filled
    if findings.published:
        yield findings.published.note
    if any(run.data.validation_is_test for run in findings.collection.runs):
        yield "Some runs were validated on the test set: see Provenance."


def result_columns(findings: Findings, row: ResultRow) -> dict[str, str]:
    """A row of the table, by column."""
    low, high = row.interval
    figure = percent(row.published.accuracy, 1) if row.published else ""
    several = len({each.first.dataset for each in findings.rows}) > 1
    baseline = findings.baselines.get(row.name)
    return {
        "configuration": link(row.name, row.first.folder) if row.group else row.name,
        "seeds": row.seeds,
        "test accuracy": row.accuracy.percent,
        "95 % interval": f"{100 * low:.1f} to {100 * high:.1f}",
        **baseline_columns(row, baseline if baseline and baseline.name else None),
        "to its dense (pp)": row.difference.pp if row.difference else "",
        **({findings.published.name: figure} if findings.published else {}),
        "sparsity": percent(row.sparsity),
        "live sparsity": percent(row.live_sparsity),
        "MACs left": percent(row.mac_density, 1),
        "epochs": row.epochs,
        **event_columns(row.runs if row.pruned else ()),
        "data": row.first.dataset if several else "",
    }


def event_columns(runs: Sequence[ReportedRun]) -> dict[str, str]:
    """The worst event of all seeds, and after how many epochs its loss was made good."""
    drops = [
        (event.after - event.before, event.before, run.curve[event.epoch :])
        for run in runs
        for event in run.events
        if event.before is not None and event.after is not None
    ]
    if not drops:
        return {"worst drop (pp)": "", "recovered": ""}
    drop, before, later = min(drops)
    epochs = next((str(n) for n, at in enumerate(later, 1) if at >= before), "never")
    return {"worst drop (pp)": pp_label(drop, 1), "recovered": epochs}
