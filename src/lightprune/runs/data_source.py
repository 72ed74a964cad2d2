"""The data set of a finished run, where the run read it or where it lies on this machine."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightprune.data.sources import Source
from lightprune.errors import InputError
from lightprune.runs.instantiate import instantiate_safely
from lightprune.runs.record import RunRecord


def data_source(record: RunRecord, root: Path | None = None) -> Source:
    """The data set that a run was trained on; nothing is downloaded.

    It lies at `root`, or else at the path in the run's record.

    Raises:
        InputError: The source is none of lightprune's, or `root` is given and it lies in no folder.
    """
    settings = {**record.config["data"], "cache_dir": image_cache(record)}
    if "data.root" in record.paths:
        settings["root"] = record.paths["data.root"]
    source: Source = instantiate_safely(settings, Source, "data")
    moved: dict[str, Any] = {"download": False} if hasattr(source, "download") else {}
    if root is not None:
        if not hasattr(source, "root"):
            raise InputError(
                f"--data-root={root}: {type(source).__name__} lie in no folder; allowed is none"
            )
        moved["root"] = str(root)
    return replace(source, **moved)


def image_cache(record: RunRecord | None) -> str:
    """The folder of decoded images that a run used, if this process may write it, or the default.

    The record may come from another machine; None without a run.
    """
    path = record.paths.get("data.cache_dir", "") if record else ""
    return path if os.access(path, os.W_OK) else Source.cache_dir
