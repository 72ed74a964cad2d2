"""Which networks stand in README's table, and what their accuracy is held against."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from lightprune.report.baseline import Baseline
from lightprune.report.discovery import RunCollection
from lightprune.report.findings import Findings
from lightprune.report.groups import CONTROL, RunGroup, group_runs, run_label, training_label
from lightprune.report.reported_run import ReportedRun
from lightprune.report.result_table import ResultRow
from lightprune.report.sections.headline import headline
from study.reference import comparable

_REFERENCE = (
    "global 98 % one_shot",
    "global 98 % multi_step",
    "global 98 % multi_step, span 0.3",
    "local 94.24 % one_shot",
)


@dataclass(frozen=True)
class TableRows:
    """README's rows: dense, control and pruned networks that were trained equally long.

    Attributes:
        findings: On every run of that training budget.
        control: The dense network trained as long; None if it was not trained.
        dense: Where the fine-tuning began.
        pruned: In the order of the table.
        most: The sparsest one within 0.5 pp of the control; None without a control.
    """

    findings: Findings
    control: ResultRow | None
    dense: ResultRow
    pruned: tuple[ResultRow, ...]
    most: ResultRow | None

    def baseline(self, row: ResultRow) -> Baseline | None:
        """The difference to the control; None for the control itself, and without one."""
        if self.control is None or row is self.control:
            return None
        baselines = self.findings.baselines
        if row is self.dense:
            own = baselines.get(self.control.name)
            return own.reversed if own and not own.name else None
        baseline = baselines.get(row.name)
        return baseline if baseline and baseline.name == self.control.name else None


def table_rows(runs: Sequence[ReportedRun]) -> TableRows | None:
    """Selects the rows; None if nothing that the reference pruned is among the runs.

    The training budget is that whose control has the most seeds, and of these the most accurate;
    without a control, that of the pruned networks of which this holds.
    """
    runs = [run for run in runs if comparable(run)]
    groups = group_runs(tuple(runs))
    controls = [group for group in groups if group.kind == CONTROL]
    basis = controls or [group for group in groups if run_label(group.first) in _REFERENCE]
    if not basis:
        return None
    first = max(basis, key=lambda group: (len(group.runs), _mean_accuracy(group))).first
    alike = tuple(run for run in runs if _training(run) == _training(first))
    findings = Findings(RunCollection(alike, {}))
    same = (row for row in findings.rows if row.group and first in row.runs)
    control = next(same, None) if controls else None
    most = headline(findings)
    if not most or not control or findings.baselines[most.name].name != control.name:
        most = None
    rows = [row for row in findings.rows if row.pruned and label(row) in _REFERENCE]
    if most and most not in rows:
        rows.insert(1, most)
    elif most:
        further = [r for r in findings.rows if r.series == most.series and r.pruned]
        further = [row for row in further if row.sparsity > most.sparsity]
        rows[1:1] = sorted(further, key=lambda row: row.sparsity)[:1]
    starts = {run.dense.weights_sha256 for run in (control or findings.rows[0]).runs}
    dense = [row for row in findings.rows if not row.group]
    begun = (row for row in dense if starts & {run.dense.weights_sha256 for run in row.runs})
    return TableRows(findings, control, next(begun, dense[0]), tuple(rows), most)


def label(row: ResultRow) -> str:
    """What a row's runs did: `global 98 % one_shot`."""
    return run_label(row.first)


def _mean_accuracy(group: RunGroup) -> float:
    return fmean(run.test.accuracy for run in group.runs)


def _training(run: ReportedRun) -> tuple[str, str]:
    return training_label(run), run.data.fingerprint
