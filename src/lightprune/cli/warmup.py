"""`lightprune warmup FILE`."""

from pathlib import Path
from typing import Annotated

import typer

from lightprune.runs.find_folder import find_run


def warmup(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A model.sparse.safetensors; or an exported run, last, or how its name begins.",
        ),
    ],
) -> None:
    """Compile what the sparse runtime needs, and keep it for later processes."""
    from lightprune.export.precompile import warm_up

    file = find_run(file)
    if file.is_dir():
        own = file / "model.sparse.safetensors"
        file = own if own.exists() else file / "export" / own.name
    print(f"compiled code is kept in {warm_up(file)}")
