"""The result table: a row a cell, beside the study's published figures; and a CSV row a run."""

import csv
import io
import json
from dataclasses import dataclass

from lightprune.report.cells import Cell, asked_sparsity, kind, without_seeds
from lightprune.report.document import Table
from lightprune.report.published import FIGURES, Published, comparable, variant
from lightprune.report.run import Dense, Run
from lightprune.report.statistics import Summary, wilson
from lightprune.report.wording import accuracy_text, points_text


@dataclass(frozen=True)
class Row:
    """What the table says of a cell; shares are 0..1.

    Attributes:
        cell: Its name.
        seeds: In words.
        accuracy: On the test images.
        difference: To each run's own dense network; None for dense networks.
        sparsity: Nominal.
        live_sparsity: Among the weights that some input reaches.
        mac_density: The share of the dense MACs that is left.
        epochs: Of the dense training and of the fine-tuning.
        seconds: Of both, likewise.
        data: The images in words.
        images: Test images.
        published: The study's figure for it, if there is one.
    """

    cell: str
    seeds: str
    accuracy: Summary
    difference: Summary | None
    sparsity: float
    live_sparsity: float
    mac_density: float
    epochs: str
    seconds: str
    data: str
    images: int
    published: Published | None


def rows_of(cells: tuple[Cell, ...]) -> list[Row]:
    """A row for the dense networks of each budget and data, then one for every cell."""
    dense: dict[str, dict[tuple[int, str], Run]] = {}
    for run in (run for cell in cells for run in cell.runs):
        dense.setdefault(_dense_question(run), {}).setdefault((run.seed, run.dense.weights), run)
    groups = [list(group.values()) for group in dense.values()]
    names = [f"dense, {group[0].dense.epochs} epochs" for group in groups]
    if len(set(names)) < len(names):
        names = [f"{name} (no. {number})" for number, name in enumerate(names, 1)]
    if len(names) == 1:
        names = ["dense"]
    rows = [_dense_row(name, group) for name, group in zip(names, groups, strict=True)]
    return rows + [_row(cell) for cell in cells]


def _dense_question(run: Run) -> str:
    """What the dense network was asked for, but for the seed."""
    parts = {name: run.config[name] for name in ("model", "data", "trainer")}
    asked = {**parts, "recipe": run.config["recipe"]["dense"], "images": run.data.fingerprint}
    return json.dumps(without_seeds(asked), sort_keys=True)


def _dense_row(name: str, runs: list[Run]) -> Row:
    first = runs[0]
    return Row(
        cell=name,
        seeds=", ".join(str(seed) for seed in sorted({run.seed for run in runs})),
        accuracy=Summary.of([run.dense.accuracy for run in runs]),
        difference=None,
        sparsity=0.0,
        live_sparsity=0.0,
        mac_density=_dense_macs(first),
        epochs=str(first.dense.epochs),
        seconds=_seconds([run.dense for run in runs]),
        data=variant(first.data),
        images=first.data.test_images,
        published=FIGURES[0] if comparable(first) else None,
    )


def _dense_macs(run: Run) -> float:
    """What the dense network's live weights need: counted like the pruned network's MACs."""
    live = sum(layer.macs // layer.weights * layer.live for layer in run.layers.values())
    return live / run.cost.macs


def _row(cell: Cell) -> Row:
    runs, first = cell.runs, cell.first
    tuning = Summary.of([run.seconds for run in runs]).mean
    return Row(
        cell=cell.name,
        seeds=cell.seeds,
        accuracy=Summary.of([run.accuracy for run in runs]),
        difference=Summary.of([run.accuracy - run.dense.accuracy for run in runs]),
        sparsity=Summary.of([run.cost.sparsity for run in runs]).mean,
        live_sparsity=Summary.of([run.cost.live_sparsity for run in runs]).mean,
        mac_density=Summary.of([run.cost.mac_density for run in runs]).mean,
        epochs=cell.budget,
        seconds=f"{_seconds([run.dense for run in runs])} + {tuning:.0f}",
        data=variant(first.data),
        images=first.data.test_images,
        published=published_for(first),
    )


def _seconds(networks: list[Dense]) -> str:
    return f"{Summary.of([dense.seconds for dense in networks]).mean:.0f}"


def published_for(run: Run) -> Published | None:
    """The study's figure for what a run did, if the study did it too."""
    scope, _, rest = kind(run.config).partition(" ")
    if not comparable(run) or rest not in ("one_shot", "multi_step"):
        return None
    target = asked_sparsity(run)
    alike = [f for f in FIGURES if f.scope == scope and abs(f.sparsity - target) < 5e-4]
    return alike[0] if alike else None


def result_table(rows: list[Row]) -> Table:
    """The table for people."""
    columns = (
        "cell",
        "seeds",
        "test accuracy",
        "95 % interval",
        "to its dense (points)",
        "study",
        "sparsity",
        "live sparsity",
        "MACs left",
        "epochs",
        "seconds",
        "data",
    )
    return Table(columns, tuple(_cells(row) for row in rows))


def _cells(row: Row) -> tuple[str, ...]:
    low, high = wilson(round(row.accuracy.mean * row.images), row.images)
    return (
        row.cell,
        row.seeds,
        accuracy_text(row.accuracy),
        f"{100 * low:.1f} to {100 * high:.1f}",
        points_text(row.difference) if row.difference else "",
        f"{100 * row.published.accuracy:.1f} %" if row.published else "",
        f"{100 * row.sparsity:.2f} %",
        f"{100 * row.live_sparsity:.2f} %",
        f"{100 * row.mac_density:.1f} %",
        row.epochs,
        row.seconds,
        row.data,
    )


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
