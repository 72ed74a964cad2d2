"""What a report leaves for spreadsheets: a row a run, a row a comparison, at full precision."""

import csv
import io

from lightprune.report.cells import Cell
from lightprune.report.comparisons import Comparison
from lightprune.report.published import variant
from lightprune.report.run import Run
from lightprune.report.statistics import wilson


def results_csv(cells: tuple[Cell, ...]) -> str:
    """One row a run, at full precision, with its provenance."""
    text = io.StringIO()
    records = [_record(cell, run) for cell in cells for run in cell.runs]
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _record(cell: Cell, run: Run) -> dict[str, object]:
    low, high = wilson(run.correct, run.data.test_images)
    return {
        "cell": cell.name,
        "folder": run.folder,
        "seed": run.seed,
        "test_accuracy": run.accuracy,
        "test_correct": run.correct,
        "test_images": run.data.test_images,
        "wilson_low": low,
        "wilson_high": high,
        "dense_accuracy": run.dense.accuracy,
        "difference": run.accuracy - run.dense.accuracy,
        "sparsity": run.cost.sparsity,
        "live_sparsity": run.cost.live_sparsity,
        "mac_density": run.cost.mac_density,
        "weights": run.cost.weights,
        "live": run.cost.live,
        "nnz": run.cost.nnz,
        "live_nnz": run.cost.live_nnz,
        "dense_epochs": run.dense.epochs,
        "finetune_epochs": run.config["recipe"]["finetune"]["epochs"],
        "dense_seconds": run.dense.seconds,
        "finetune_seconds": run.seconds,
        "data": variant(run.data),
        "fingerprint": run.data.fingerprint,
        "validation_is_test": run.data.validation_is_test,
        "hardware": run.hardware,
        "commit": run.commit,
        "command": run.command,
    }


def paired_csv(comparisons: tuple[Comparison, ...]) -> str:
    """One row a comparison, at full precision."""
    text = io.StringIO()
    columns = (
        *("first", "second", "seed", "images", "only_first_right", "only_second_right"),
        *("difference", "p", "p_corrected", "verdict"),
    )
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for c in comparisons:
        p = c.paired
        counts = (
            (p.images, p.only_first, p.only_second, p.difference, p.p_value) if p else ("",) * 5
        )
        corrected = "" if c.corrected is None else c.corrected
        writer.writerow((c.first, c.second, c.seed, *counts, corrected, c.verdict))
    return text.getvalue()
