"""Renews the options in docs/commands/ from --help: `python docs/generate_commands.py`."""

import os
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from lightprune.cli.main import app, main

FOLDER = Path(__file__).with_name("commands")
HEAD = "\n## Options\n\n"
# Its options are Hydra's: groups and settings, which its page lists.
_BY_HAND = "train"


def names():
    """Every command but `train`."""
    commands = [command.callback.__name__ for command in app.registered_commands]
    return [name for name in commands if name != _BY_HAND]


def page(name):
    """The text of a command's page: what was written by hand, then its --help."""
    os.environ["COLUMNS"] = "90"
    with redirect_stdout(StringIO()) as shown:
        main([name, "--help"])
    by_hand = (FOLDER / f"{name}.md").read_text(encoding="utf-8").partition(HEAD)[0]
    return f"{by_hand}{HEAD}```\n{shown.getvalue().strip()}\n```\n"


if __name__ == "__main__":
    for command in names():
        (FOLDER / f"{command}.md").write_text(page(command), encoding="utf-8")
