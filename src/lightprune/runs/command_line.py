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
