"""`lightprune export PATH`."""

from pathlib import Path
from typing import Annotated

import typer

from lightprune.cli.options import ConstructorName, InputShape, builder_of_file


def export(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A finished run, an export, or a file.")
    ],
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write. Default: PATH/export.")
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
    input: InputShape = None,
) -> None:
    """Write a network as small, portable files."""
    from lightprune.errors import split_choices
    from lightprune.export.export_network import FORMATS, ExportConfig, export_network
    from lightprune.export.loaded_network import load_network

    config = ExportConfig(split_choices("--formats", formats, FORMATS), values, opset)
    loaded = load_network(path, *builder_of_file(constructor, input))
    if explain:
        # The compiler takes a second to load, and exports do without.
        from lightprune.sparse.runtime.explain import explain as explain_stages

        print(explain_stages(loaded.graph, loaded.state), end="")
        return
    for line in (*export_network(loaded, to, config), *loaded.notes):
        print(line)
