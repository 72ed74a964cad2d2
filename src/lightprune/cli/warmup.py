"""`lightprune warmup FILE`."""

from pathlib import Path
from typing import Annotated

import typer


def warmup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A model.sparse.safetensors.")],
) -> None:
    """Compile what the sparse runtime needs, and keep it for later processes."""
    from lightprune.export.precompile import warm_up

    print(f"compiled code is kept in {warm_up(file)}")
