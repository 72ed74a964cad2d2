"""What was tried on the way to the recipes: settings beside what they led to."""

from collections.abc import Iterator
from dataclasses import replace

from lightprune.rendering.document import Block, Table, link
from lightprune.rendering.number_format import percent, pp_label
from lightprune.report.discovery import RunCollection
from lightprune.report.findings import Findings
from lightprune.report.groups import run_label, training_label, without_seeds
from lightprune.report.reported_run import ReportedRun
from lightprune.runs.identity import diff_configs

_WORDS = (
    "Runs that served to choose a recipe; no other section but Provenance counts them. Settings "
    "are told where they differ from those of the run of the same kind and the nearest budget in "
    "the results, which “beside” names. The validation accuracies choose: several were looked at, "
    "so the highest flatters a little. The test accuracies were read afterwards."
)
# What the names of their sweeps begin with.
TUNING = "tried-"
# They have a column of their own.
_LENGTHS = ("recipe.dense.epochs", "recipe.finetune.epochs")


def split_tuning_runs(
    collection: RunCollection,
) -> tuple[RunCollection, tuple[ReportedRun, ...]]:
    """Runs to report on, and those that served to choose a recipe, by the name of their sweep."""
    tuning = tuple(run for run in collection.runs if run.folder.startswith(TUNING))
    # A folder of nothing else is reported on as such.
    tuning = () if len(tuning) == len(collection.runs) else tuning
    others = tuple(run for run in collection.runs if run not in tuning)
    return replace(collection, runs=others), tuning


def tuning_section(findings: Findings) -> Iterator[Block]:
    """One table, in the order of the runs' kinds."""

    def order(run: ReportedRun) -> tuple[str, int, str]:
        return run_label(run), run.dense.epochs, run.folder

    if runs := sorted(findings.tuning_runs, key=order):
        yield _WORDS
        yield Table.of(_row(run, findings.collection.runs) for run in runs)


def _row(run: ReportedRun, reported: tuple[ReportedRun, ...]) -> dict[str, str]:
    alike = [other for other in reported if run_label(other) == run_label(run)]
    beside = min(alike, key=lambda other: _distance(run, other), default=None)
    return {
        "run folder": link(run.folder, run.folder),
        "configuration": run_label(run),
        "seed": str(run.seed),
        "epochs": run.epochs,
        "beside": training_label(beside) if beside else "nothing of its kind",
        "settings": _settings(run, beside) if beside else "",
        "dense, validation": percent(run.dense.validation_accuracy, unknown=""),
        "validation": percent(run.validation_accuracy, unknown=""),
        "dense, test": percent(run.dense.test_accuracy),
        "test": percent(run.test.accuracy),
        "to its dense (pp)": pp_label(run.accuracy_change),
        "data": run.dataset,
    }


def _distance(run: ReportedRun, other: ReportedRun) -> tuple[int, int, int]:
    """How far apart two runs are: epochs of each phase, then the number of settings."""
    dense = abs(run.dense.epochs - other.dense.epochs)
    return dense, abs(run.finetune_epochs - other.finetune_epochs), len(_differing(run, other))


def _differing(run: ReportedRun, other: ReportedRun) -> list[str]:
    """The settings in which a run differs from another, in words; all but the length."""
    return [
        f"{key.removeprefix('recipe.')}={'not set' if value is None else value}"
        for key, _, value in diff_configs(without_seeds(other.config), without_seeds(run.config))
        if key not in _LENGTHS
    ]


def _settings(run: ReportedRun, beside: ReportedRun) -> str:
    same = "as there" if run.epochs == beside.epochs else "as there, but for its length"
    return "; ".join(_differing(run, beside)) or same
