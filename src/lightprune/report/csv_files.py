"""What a report leaves for spreadsheets: a row a run, a row a comparison, at full precision."""

from lightprune.files import csv_text
from lightprune.report.comparisons import Comparison
from lightprune.report.groups import RunGroup
from lightprune.report.reported_run import ReportedRun
from lightprune.report.statistics import mcnemar_p_value, wilson_interval

_COMPARISON = (
    "first",
    "second",
    "seed",
    "images",
    "only_first_right",
    "only_second_right",
    "difference",
    "p",
    "p_corrected",
    "verdict",
)


def results_csv(groups: tuple[RunGroup, ...]) -> str:
    """One row a run, with its provenance."""
    rows = [_run_row(group, run) for group in groups for run in group.runs]
    return csv_text(list(rows[0]), (row.values() for row in rows))


def _run_row(group: RunGroup, run: ReportedRun) -> dict[str, object]:
    low, high = wilson_interval(run.test.correct, run.data.test_images)
    return {
        "configuration": group.name,
        "folder": run.folder,
        "seed": run.seed,
        "test_accuracy": run.test.accuracy,
        "test_correct": run.test.correct,
        "test_images": run.data.test_images,
        "wilson_low": low,
        "wilson_high": high,
        "dense_accuracy": run.dense.test_accuracy,
        "difference": run.accuracy_change,
        "sparsity": run.cost.sparsity,
        "live_sparsity": run.cost.live_sparsity,
        "mac_density": run.cost.mac_density,
        "weights": run.cost.weights,
        "live": run.cost.live,
        "nnz": run.cost.nnz,
        "live_nnz": run.cost.live_nnz,
        "dense_epochs": run.dense.epochs,
        "finetune_epochs": run.finetune_epochs,
        "dense_seconds": run.dense.seconds,
        "finetune_seconds": run.seconds.finetune,
        "data": run.dataset,
        "fingerprint": run.data.fingerprint,
        "validation_is_test": run.data.validation_is_test,
        "hardware": str(run.hardware),
        "commit": run.commit,
        "command": run.command,
    }


def comparisons_csv(comparisons: tuple[Comparison, ...]) -> str:
    """One row a comparison, if there are any; nothing where there is no test."""
    return csv_text(_COMPARISON, map(_comparison_row, comparisons))


def _comparison_row(c: Comparison) -> tuple[object, ...]:
    counts: tuple[object, ...] = (None,) * 5
    if pair := c.paired:
        only = pair.only_first, pair.only_second
        counts = pair.images, *only, pair.difference, mcnemar_p_value(pair)
    return c.first, c.second, c.seed, *counts, c.corrected, c.verdict
