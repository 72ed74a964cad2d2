"""Where every number comes from."""

from collections.abc import Iterator

from lightprune.provenance import short_commit
from lightprune.rendering.document import Block, Table, bullets, link
from lightprune.report.findings import Findings
from lightprune.report.reported_run import ReportedRun


def provenance_section(findings: Findings) -> Iterator[Block]:
    """Command, code, machine and data, with the runs that share them; and what was left out."""
    runs = [run for group in findings.groups for run in group.runs]
    runs += findings.tuning_runs
    sources: dict[tuple[str, str, str, str], list[ReportedRun]] = {}
    for run in runs:
        commit = f"`{short_commit(run.commit)}`"
        source = f"`{run.command}`", commit, str(run.hardware), run.data.fingerprint[:8]
        sources.setdefault(source, []).append(run)
    columns = "command", "commit", "hardware", "data"
    yield "The folder, commit, hardware and command of each run: results.csv."
    rows = (
        {
            **dict(zip(columns, source, strict=True)),
            "runs": str(len(alike)),
            "first folder": link(alike[0].folder, alike[0].folder),
        }
        for source, alike in sources.items()
    )
    yield Table.of(rows, "[results.csv](results.csv), or this table in report.html")
    versions = dict.fromkeys(
        ", ".join(f"{name} {number}" for name, number in run.versions.items()) for run in runs
    )
    yield bullets(
        [
            *dict.fromkeys(_data(run) for run in runs),
            *(f"versions: {line}" for line in versions),
        ]
    )
    if left_out := findings.collection.left_out:
        yield "Left out, because they are not finished or damaged:"
        yield bullets(f"`{folder}`: {reason}" for folder, reason in left_out.items())


def _data(run: ReportedRun) -> str:
    data = run.data
    chosen = ", which is the test set" if data.validation_is_test else ""
    if not data.validation_images:
        chosen = " (the last epoch was tested)"
    return (
        f"data {data.fingerprint[:8]}: {run.dataset}, source {data.source}, "
        f"{len(data.classes)} classes, {data.train_images:,} training, "
        f"{data.validation_images:,} validation{chosen}, {data.test_images:,} test images; "
        f"fingerprint `{data.fingerprint}`"
    )
