"""`lightprune export RUN`."""

from pathlib import Path
from typing import Annotated

import typer

from lightprune.cli.options import ConstructorName, Run, constructor_of


def export(
    run: Run,
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write. Default: RUN/export.")
    ] = None,
    values: Annotated[
        str, typer.Option(metavar="fp32|fp16", help="How the sparse file stores weights.")
    ] = "fp32",
    torch_prune: Annotated[
        bool, typer.Option("--torch-prune", help="Also write what torch.nn.utils.prune saves.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Print every stage of the sparse compiler; write nothing."),
    ] = False,
    constructor: ConstructorName = None,
) -> None:
    """Write a run's network as small, portable files."""
    from lightprune.export.export_run import explain_run, export_run

    builder = constructor_of(constructor)
    if explain:
        print(explain_run(run, builder), end="")
        return
    for line in export_run(run, to, values=values, torch_prune=torch_prune, constructor=builder):
        print(line)
