"""The committed results: keeps the small files of finished runs."""

import re
from pathlib import Path

from lightprune.errors import InputError
from lightprune.files import write_text
from lightprune.report.discovery import BENCH, find_runs
from lightprune.report.groups import run_label
from lightprune.report.reported_run import ReportedRun
from lightprune.runs.record import read_dense_record

_FILES = ("run.json", "metrics.csv", "layers.csv", "predictions.csv")
_DENSE_FILES = ("dense.json", "metrics.csv", "predictions.csv")
# At the start of a word, or of the value of a setting or an option, quoted or not.
_ABSOLUTE = re.compile(r"""(?<=[\s="'])/(?:[^\s"'/]+/)+(?=[^\s"'/])""")


def publish(sweep: Path, dense_dir: Path, results: Path) -> list[Path]:
    """Copies the records of a sweep's finished runs, and of their dense networks.

    Args:
        sweep: Its folder: `.../reference-RECIPE` as `make reproduce` names it,
            `.../methods-RECIPE`, `.../speed-ANYTHING` or `.../tried-ANYTHING`.
        dense_dir: The cache of dense networks.
        results: Gets the runs in `RECIPE/`, or in a folder named as the sweep, with what
            `lightprune bench` measured, and the dense networks' predictions in `dense/`, where one
            does not take the place of another.

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
            _copy(run.dense_folder, _dense_place(results / "dense", run), _DENSE_FILES)
    return list(runs)


def _dense_place(folder: Path, run: ReportedRun) -> Path:
    """Where a dense network is kept beside those of the same key that were trained elsewhere."""
    place, beside = (folder / name for name in run.dense.folder_names)
    try:
        kept = read_dense_record(place / "dense.json").weights_sha256
    except FileNotFoundError:
        return place
    return place if kept == run.dense.weights_sha256 else beside


def _copy(source: Path, place: Path, files: tuple[str, ...]) -> None:
    for file in files:
        text = (source / file).read_text("utf-8")
        write_text(place / file, strip_paths(text) if file.endswith(".json") else text)


def strip_paths(record: str) -> str:
    """A record, as JSON, without the places of the machine that made it: `.../cifar10`.

    Absolute paths without blanks keep their last part: the rest says nothing of a result.
    """
    return _ABSOLUTE.sub(".../", record)
