"""The command line in a record: its program, its overrides."""

import shlex
from pathlib import Path


def split_command(command: str) -> tuple[list[str], list[str] | None]:
    """Splits the command line of a record.

    Returns:
        The program that composes configs, as one types it, and the overrides and options after it;
        None for them if the command composed no config, as that of one of several nodes.
    """
    program, *words = shlex.split(command)
    if Path(program).name == "train.py":
        return ["python", program], words
    if Path(program).name == "lightprune" and words[:1] == ["train"]:
        return ["lightprune", "train"], words[1:]
    return ["python", "train.py"], None


def command_overrides(command: str) -> dict[str, str]:
    """The overrides of a command line by key, unquoted.

    The config of a record lacks the keys that do not change a result, such as `data.root`.
    """
    words = [word.lstrip("+").partition("=") for word in shlex.split(command)]
    return {key: _unquoted(value) for key, _, value in words}


def _unquoted(value: str) -> str:
    """A value without the quotes that protect its commas and blanks from Hydra's grammar."""
    mark = value[:1]
    if len(value) < 2 or mark not in ("'", '"') or value[-1] != mark:
        return value
    return value[1:-1].replace(f"\\{mark}", mark)
