"""Arguments and options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lightprune.models.registry import Constructor

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")]
ConstructorName = Annotated[
    str | None,
    typer.Option(
        "--constructor",
        metavar="NAME",
        help="Builds the network, where that is neither torchvision's nor lightprune's.",
    ),
]
DenseDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Cache of dense networks. Default: the run's."),
]
DataRoot = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder of the images. Default: the run's.")
]
WhichNetwork = Annotated[
    str, typer.Option(metavar="dense|pruned", help="Which network of the run.")
]


def constructor_of(name: str | None) -> "Constructor | None":
    """Imports the constructor that the user names."""
    from lightprune.models.from_spec import import_constructor

    return import_constructor(name) if name else None
