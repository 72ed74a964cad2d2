"""The committed results: keeps the small files of finished runs, and tells README's table."""

import re
from pathlib import Path

from lightprune.errors import InputError
from lightprune.files import write_text
from lightprune.rendering.document import Table
from lightprune.report.discovery import BENCH, find_runs
from lightprune.report.groups import group_runs, run_label
from lightprune.report.reported_run import ReportedRun
from lightprune.report.result_table import ResultRow, result_rows
from lightprune.report.sections.results import result_columns
from lightprune.report.sections.speed import speed_lines
from study.reference import DATASET_NAMES, published
from study.tuning_runs import TUNING

_FILES = ("run.json", "metrics.csv", "layers.csv", "predictions.csv")
_DENSE_FILES = ("dense.json", "metrics.csv", "predictions.csv")
# Runs for speed, of other methods and of what was tried are told by the report, not by README's
# table.
_APART = ("speed-", "methods-", TUNING)
START = "<!-- results: made by `make results` -->"
END = "<!-- end of results -->"
# At the start of a word, or of the value of a setting or an option, quoted or not.
_ABSOLUTE = re.compile(r"""(?<=[\s="'])/(?:[^\s"'/]+/)+(?=[^\s"'/])""")
_NOTHING = "Measured results follow."
# Of the whole table those columns that answer a reader's first questions.
_COLUMNS = (
    "configuration",
    "seeds",
    "test accuracy",
    "to its dense (pp)",
    "reference",
    "live sparsity",
    "MACs left",
    "epochs",
)


def publish(sweep: Path, dense_dir: Path, results: Path) -> list[Path]:
    """Copies the records of a sweep's finished runs, and of their dense networks.

    Args:
        sweep: Its folder: `.../reference-RECIPE` as `make reproduce` names it,
            `.../methods-RECIPE`, `.../speed-ANYTHING` or `.../tried-ANYTHING`.
        dense_dir: The cache of dense networks.
        results: Gets the runs in `RECIPE/`, or in a folder named as the sweep, with what
            `lightprune bench` measured, and the dense networks' predictions in `dense/`.

    Returns:
        The folders written.

    Raises:
        InputError: There is no finished run in the sweep, or two of one configuration and seed.
    """
    recipe = sweep.resolve().name.removeprefix("reference-")
    runs: dict[Path, ReportedRun] = {}
    for run in find_runs(sweep, dense_dir).runs:
        name = re.sub(r"[^a-z0-9.]+", "_", run_label(run)).strip("_")
        folder = results / recipe / f"{name}-seed{run.seed}"
        if folder in runs:
            raise InputError(
                f"{sweep}: {runs[folder].folder} and {run.folder} would both be kept as "
                f"{folder.name}; allowed is one run of a configuration and seed"
            )
        runs[folder] = run
    for folder, run in runs.items():
        _copy(sweep / run.folder, folder, (*_FILES, BENCH) if run.bench else _FILES)
        if run.dense_folder:
            _copy(run.dense_folder, results / "dense" / run.dense.key, _DENSE_FILES)
    return list(runs)


def _copy(source: Path, place: Path, files: tuple[str, ...]) -> None:
    for file in files:
        text = (source / file).read_text("utf-8")
        write_text(place / file, strip_paths(text) if file.endswith(".json") else text)


def strip_paths(record: str) -> str:
    """A record, as JSON, without the places of the machine that made it: `.../cifar10`.

    Absolute paths without blanks keep their last part: the rest says nothing of a result.
    """
    return _ABSOLUTE.sub(".../", record)


def results_block(results: Path) -> str:
    """What stands between the two comments."""
    if not holds_runs(results):
        return _NOTHING
    published_runs = find_runs(results, results / "dense", DATASET_NAMES).runs
    runs = tuple(run for run in published_runs if not run.folder.startswith(_APART))
    if not runs:
        return _NOTHING
    figures = published(runs)
    rows = result_rows(group_runs(runs), figures)
    shown = [row for row in rows if _shown(row)] or rows
    columns = [result_columns(row, figures) for row in shown]
    short = Table.of({c: row[c] for c in _COLUMNS if c in row} for row in columns)
    data = "; ".join(dict.fromkeys(row.first.dataset for row in shown))
    speeds = " ".join(speed_lines([row.group for row in shown if row.group]))
    return (
        f"{short.markdown}\n\n"
        f"{speeds + ' ' if speeds else ''}"
        f"Data: {data}; the reference's figures are quoted, of lossless images and 400 epochs. "
        f"All configurations, tests and provenance: `{results.name}/report/report.md`."
    )


def holds_runs(results: Path) -> bool:
    """Whether there is anything to tell."""
    return any(results.rglob("run.json"))


def replace_block(readme: str, block: str) -> str:
    """README with another block between the comments.

    Raises:
        InputError: The comments are not there, once each and in order.
    """
    before, start, rest = readme.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end or START in rest or END in after:
        raise InputError(f"README: lacks the lines {START} and {END}; allowed is one of each")
    return f"{before}{START}\n{block}\n{END}{after}"


def _shown(row: ResultRow) -> bool:
    """The reference's configurations, and the first step beyond them: README stays short."""
    name = row.name
    if row.published:
        return not name.startswith("local 94.24 % multi_step")
    return name.startswith("global 99 % one_shot") and "unreachable first" not in name
