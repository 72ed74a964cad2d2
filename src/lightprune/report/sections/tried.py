"""What was tried on the way to the recipes: settings beside what they led to."""

from lightprune.identity import differences
from lightprune.report.cells import budget, label, without_seeds
from lightprune.report.document import Section, Table, Text
from lightprune.report.findings import Findings
from lightprune.report.run import Run
from lightprune.report.statistics import points

_WORDS = (
    "Runs that served to choose a recipe; no other section counts them. Settings are told where "
    "they differ from those of the run of the same kind in the results. The validation accuracies "
    "choose: several were looked at, so the highest flatters a little. The test accuracies were "
    "read afterwards."
)


# They have a column of their own.
_LENGTHS = ("recipe.dense.epochs", "recipe.finetune.epochs")


def tried(findings: Findings) -> Section:
    """One table, in the order of the runs' kinds."""
    rows = [_row(run, findings.study.runs) for run in sorted(findings.tried, key=_order)]
    return Section("What was tried", (Text(_WORDS), Table.of(rows)) if rows else ())


def _order(run: Run) -> tuple[str, int, str]:
    return label(run), run.dense.epochs, run.folder


def _row(run: Run, kept: tuple[Run, ...]) -> dict[str, str]:
    return {
        "cell": label(run),
        "settings": "; ".join(_settings(run, kept)) or "as in the results",
        "epochs": budget(run),
        "dense, validation": f"{100 * run.dense.curve[-1]:.2f} %" if run.dense.curve else "",
        "validation": f"{100 * run.curve[-1]:.2f} %" if run.curve else "",
        "dense, test": f"{100 * run.dense.accuracy:.2f} %",
        "test": f"{100 * run.accuracy:.2f} %",
        "to its dense (points)": points(run.accuracy - run.dense.accuracy),
    }


def _settings(run: Run, kept: tuple[Run, ...]) -> list[str]:
    """What tells a run from the likest one of its kind, in words; all but the length."""
    mine = without_seeds(run.config)
    against = [
        [
            f"{key.removeprefix('recipe.')}={'not set' if here is None else here}"
            for key, _, here in differences(without_seeds(other.config), mine)
            if key not in _LENGTHS
        ]
        for other in kept
        if label(other) == label(run)
    ]
    return min(against, key=len, default=["nothing of its kind in the results"])
