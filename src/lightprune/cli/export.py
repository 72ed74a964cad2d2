"""`lightprune export PATH`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightprune.cli.options import (
    ConstructorName,
    DataRoot,
    InputShape,
    Network,
    Prefix,
    builder_of_file,
)
from lightprune.runs.find_folder import find_run

if TYPE_CHECKING:
    from lightprune.export.export_network import ExportConfig
    from lightprune.export.loaded_network import LoadedNetwork

_FORMATS = "safetensors,sparse,onnx"


def export(
    path: Network,
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder to write. Default: PATH/export.")
    ] = None,
    formats: Annotated[
        str, typer.Option(metavar="NAME,NAME", help="safetensors, sparse, onnx, torch-prune.")
    ] = _FORMATS,
    opset: Annotated[
        int | None, typer.Option(metavar="N", help="Of ONNX. Default: that of torch.onnx.")
    ] = None,
    values: Annotated[
        str, typer.Option(metavar="fp32|fp16|int8", help="How the sparse file stores weights.")
    ] = "fp32",
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Print every stage of the sparse compiler; write nothing."),
    ] = False,
    data_root: DataRoot = None,
    constructor: ConstructorName = None,
    input: InputShape = None,
    prefix: Prefix = None,
) -> None:
    """Write a network as small, portable files."""
    from lightprune.errors import InputError, split_choices
    from lightprune.export.export_network import FORMATS, ExportConfig
    from lightprune.export.loaded_network import load_network

    config = ExportConfig(split_choices("--formats", formats, FORMATS), values, opset)
    if data_root and (values == "fp32" or explain):
        raise InputError(
            f"--data-root={data_root}: is for the accuracy of an export with --values fp16 or "
            "int8; allowed is it with one of them"
        )
    given = {"--to": to, "--opset": opset, "--values": None if values == "fp32" else values}
    given["--formats"] = None if formats == _FORMATS else formats
    if explain and (name := next((name for name, value in given.items() if value), None)):
        raise InputError(
            f"{name}={given[name]}: is for what is written, and --explain writes nothing; allowed "
            "is one of them"
        )
    loaded = load_network(find_run(path), *builder_of_file(constructor, input), prefix)
    if explain:
        # The compiler takes a second to load, and exports do without.
        from lightprune.sparse.runtime.explain import explain as explain_stages

        print(explain_stages(loaded.graph, loaded.state), end="")
        return
    for line in _export(loaded, to, config, data_root):
        print(line)


def _export(
    loaded: "LoadedNetwork", to: Path | None, config: "ExportConfig", data_root: Path | None
) -> Iterator[str]:
    from lightprune.errors import InputError
    from lightprune.export.export_network import export_network

    if config.values == "fp32":
        yield from export_network(loaded, to, config)
        yield from loaded.notes
        return
    # They load data sets, which takes a second, and a lossless export does without.
    from lightprune.bench.evaluation_images import find_evaluation_images
    from lightprune.bench.output_check import accuracy_in

    images, reason = find_evaluation_images(loaded, data_root)
    yield from export_network(loaded, to, config)
    yield from loaded.notes
    try:
        if reason:
            raise InputError(reason)
        yield accuracy_in(config.values, loaded, images)
    except InputError as error:
        yield f"accuracy in {config.values}: not measured; {error}"
