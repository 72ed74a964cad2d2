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
    formats: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="safetensors, sparse, onnx, torch-prune.")
    ] = "safetensors,sparse,onnx",
    opset: Annotated[
        int | None, typer.Option(metavar="N", help="Of ONNX. Default: that of torch.onnx.")
    ] = None,
    values: Annotated[
        str, typer.Option(metavar="fp32|fp16", help="How the sparse file stores weights.")
    ] = "fp32",
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Print every stage of the sparse compiler; write nothing."),
    ] = False,
    constructor: ConstructorName = None,
) -> None:
    """Write a run's network as small, portable files."""
    from lightprune.errors import split_choices
    from lightprune.export.export_run import FORMATS, ExportConfig, explain_run, export_run

    config = ExportConfig(split_choices("--formats", formats, FORMATS), values, opset)
    builder = constructor_of(constructor)
    if explain:
        print(explain_run(run, builder), end="")
        return
    for line in export_run(run, to, config, constructor=builder):
        print(line)
