"""Arguments and options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightprune.errors import InputError

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


def parse_int_list(option: str, text: str) -> tuple[int, ...]:
    """The whole numbers of a comma-separated list, ascending.

    Raises:
        InputError: It is something else, or names one twice.
    """
    try:
        numbers = sorted(int(part) for part in text.split(","))
    except ValueError as error:
        raise InputError(
            f"{option}={text}: allowed are whole numbers with commas between them"
        ) from error
    if len(set(numbers)) < len(numbers):
        raise InputError(f"{option}={text}: names one twice; allowed is each once")
    return tuple(numbers)
