"""Arguments and options that several commands share."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lightprune.errors import InputError

if TYPE_CHECKING:
    from lightprune.models.registry import Constructor
    from lightprune.models.spec import ModelSpec

Run = Annotated[
    Path,
    typer.Argument(
        metavar="RUN",
        help="A finished run: its folder, last, or how its name begins.",
    ),
]
Network = Annotated[
    Path,
    typer.Argument(
        metavar="PATH",
        help="A finished run (or last, or how its name begins), an export, or a file.",
    ),
]
ConstructorName = Annotated[
    str | None,
    typer.Option(
        "--constructor",
        metavar="NAME",
        help="Builds the network, where that is neither torchvision's nor lightprune's.",
    ),
]
InputShape = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="CxHxW",
        help="An image, where PATH holds weights alone: --constructor 'NAME(width=2)' has the "
        "arguments, then.",
    ),
]
Prefix = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Of the network's names, where weights alone are of several networks."
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
    return _imported(name) if name is not None else None


def _imported(name: str) -> "Constructor":
    from lightprune.models.from_spec import import_constructor

    try:
        return import_constructor(name)
    except InputError as error:
        raise InputError(f"--constructor={error}") from error


def builder_of_file(
    constructor: str | None, input: str | None
) -> tuple["Constructor | None", "ModelSpec | None"]:
    """What builds the network of a file; with `input`, all that is known of it as well.

    Raises:
        InputError: There is no such constructor, or one of the two is malformed.
    """
    if input is None:
        return constructor_of(constructor), None
    from lightprune.models.from_spec import parse_call
    from lightprune.models.spec import ModelSpec

    if constructor is None:
        raise InputError(f"--input={input}: allowed is --constructor NAME with it")
    shape = re.fullmatch(r"(\d+)x(\d+)x(\d+)", input)
    try:
        if shape is None:
            raise ValueError
        channels, height, width = map(int, shape.groups())
        ModelSpec("", {}, (channels, height, width))
    except ValueError as error:
        raise InputError(f"--input={input}: allowed is CxHxW, such as 3x224x224") from error
    try:
        name, arguments = parse_call(constructor)
        spec = ModelSpec(name, arguments, (channels, height, width))
    except ValueError as error:
        raise InputError(
            f"--constructor={constructor}: {error}; allowed is NAME or NAME(argument=value), with "
            "numbers, text, True, False, None and lists of them as values, and without weights="
        ) from error
    return _imported(name), spec


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
