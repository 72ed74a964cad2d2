"""Keeps the small files of finished runs where they are committed: results/RECIPE/CELL-seedN/."""

import re
from pathlib import Path

from lightprune.files import write_text
from lightprune.report.cells import label
from lightprune.report.gather import gather

_FILES = ("run.json", "metrics.csv", "layers.csv", "predictions.csv")


def keep(sweep: Path, dense_dir: Path, results: Path) -> list[Path]:
    """Copies the records of a sweep's finished runs, and of their dense networks.

    Args:
        sweep: Its folder, `.../study-RECIPE` as `make reproduce` names it.
        dense_dir: The cache of dense networks.
        results: Gets the runs in `RECIPE/`, and the dense networks' predictions in `dense/`.

    Returns:
        The folders written.

    Raises:
        InputError: There is no finished run in the sweep.
    """
    recipe = sweep.resolve().name.removeprefix("study-")
    places = []
    for run in gather(sweep, dense_dir).runs:
        name = re.sub(r"[^a-z0-9.]+", "_", label(run)).strip("_")
        place = results / recipe / f"{name}-seed{run.seed}"
        for file in _FILES:
            write_text(place / file, (sweep / run.folder / file).read_text())
        if run.dense.predictions is not None:
            for file in ("dense.json", "metrics.csv", "predictions.csv"):
                source = dense_dir / run.dense.key / file
                if source.exists():
                    write_text(results / "dense" / run.dense.key / file, source.read_text())
        places.append(place)
    return places
