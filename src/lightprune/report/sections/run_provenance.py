"""Where every number comes from."""

from collections.abc import Iterator

from lightprune.provenance import short_commit
from lightprune.rendering.document import Block, Table, bullets
from lightprune.report.findings import Findings
from lightprune.report.groups import run_label
from lightprune.report.reported_run import ReportedRun


def provenance_section(findings: Findings) -> Iterator[Block]:
    """Of every run: its folder, code, machine, data and command; and what was left out."""
    runs = [(group.name, run) for group in findings.groups for run in group.runs]
    runs += [(f"tuning: {run_label(run)}", run) for run in findings.tuning_runs]
    commands = list(dict.fromkeys(run.command for _, run in runs))
    yield Table.of(
        {
            "run folder": f"`{run.folder}`",
            "configuration": name,
            "seed": str(run.seed),
            "commit": f"`{short_commit(run.commit)}`",
            "hardware": str(run.hardware),
            "data": run.data.fingerprint[:8],
            "command": f"no. {commands.index(run.command) + 1}",
        }
        for name, run in runs
    )
    versions = dict.fromkeys(
        ", ".join(f"{name} {number}" for name, number in run.versions.items()) for _, run in runs
    )
    yield bullets(
        [
            *(f"command no. {n}: `{command}`" for n, command in enumerate(commands, 1)),
            *dict.fromkeys(_data(run) for _, run in runs),
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
