"""The command line of a run, and in its record: its program, its overrides."""

import os
import shlex
import sys
from pathlib import Path

# Environment variable: the command line that the user typed, where `sys.argv` is another.
COMMAND = "LIGHTPRUNE_COMMAND"


def command_line() -> str:
    """The command line that started the run."""
    return os.environ.get(COMMAND) or shlex.join(sys.argv)


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
