"""The data set of a finished run, where the run read it or where it lies on this machine."""

from dataclasses import replace
from pathlib import Path

from lightprune.data.sources import Source
from lightprune.errors import InputError
from lightprune.runs.command_line import command_overrides
from lightprune.runs.instantiate import instantiate_safely
from lightprune.runs.record import RunRecord

_PATHS = ("root", "cache_dir")


def data_source(record: RunRecord, root: Path | None = None) -> Source:
    """The data set that a run was trained on; nothing is downloaded.

    Args:
        record: Of the run.
        root: Where the data lies; None takes the path in the run's command.

    Raises:
        InputError: The source is none of lightprune's, or `root` is given and it lies in no folder.
    """
    source = instantiate_safely(record.config["data"], Source, "data")
    overrides = command_overrides(record.command)
    settings: dict[str, str | bool] = {
        key: overrides[f"data.{key}"] for key in _PATHS if f"data.{key}" in overrides
    }
    if root is not None:
        if not hasattr(source, "root"):
            raise InputError(
                f"--data-root={root}: {type(source).__name__} lie in no folder; allowed is none"
            )
        settings["root"] = str(root)
    if hasattr(source, "download"):
        settings["download"] = False
    moved: Source = replace(source, **settings)
    return moved
