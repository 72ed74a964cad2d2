"""Runs a typer application: errors as one line, and an exit status."""

import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import typer
from typer.exceptions import TyperException

from lightprune.console_encoding import accept_any_text
from lightprune.errors import InputError
from lightprune.files import SaveError

_INTERRUPTED = 130


def new_app(help: str) -> typer.Typer:
    """An application whose errors `run_app` reports, not typer."""
    return typer.Typer(
        add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None, help=help
    )


def run_app(
    app: typer.Typer,
    program: str,
    arguments: Sequence[str] | None = None,
    renamed: Mapping[str, str] = MappingProxyType({}),
) -> int:
    """Runs one command, of the process's command line if none is given.

    `renamed` says what replaces a command or an option of earlier versions, by its old name.

    Returns:
        The exit status: 0, 1 after an error that the user can mend, 130 after Ctrl-C.
    """
    accept_any_text()
    try:
        # A command returns nothing; typer returns a status after --help and Ctrl-C.
        words = map(_expand_home, sys.argv[1:] if arguments is None else arguments)
        status: int = app([*words], prog_name=program, standalone_mode=False) or 0
    except SystemExit as end:  # Of `train`, which reports its failures itself.
        return int(end.code or 0)
    except TyperException as error:
        print(f"error: {_usage_error(error, program, renamed)}", file=sys.stderr)
        return 1
    except Exception as error:
        if not isinstance(error, InputError | SaveError | OSError):
            raise
        print(f"error: {error}", file=sys.stderr)
        return 1
    if status == _INTERRUPTED:
        print("interrupted", file=sys.stderr)
    return status


def _expand_home(word: str) -> str:
    """A word of the command line as a shell leaves it, which sees no `~` behind `=`."""
    option, equal, value = word.rpartition("=") if word.startswith("-") else ("", "", word)
    return option + equal + os.path.expanduser(value)


def _usage_error(error: TyperException, program: str, renamed: Mapping[str, str]) -> str:
    message = error.format_message().rstrip(".")
    for old, new in renamed.items():
        if message.startswith((f"No such option: {old}", f"No such command '{old}'")):
            return f"{old}: is `{new}`"
    context = getattr(error, "ctx", None)
    command = context.command_path if context else program
    return f"{message}; {command} --help shows what is allowed"
