"""docs/commands/: a page a command, with the options that its --help shows."""

import runpy
from pathlib import Path

import pytest

from lightprune.cli.main import app

FOLDER = Path(__file__).parents[2] / "docs" / "commands"
PAGES = runpy.run_path(str(FOLDER.parent / "generate_commands.py"))


def test_every_command_has_a_page():
    names = {command.callback.__name__ for command in app.registered_commands}

    assert {page.stem for page in FOLDER.glob("*.md")} == names


@pytest.mark.parametrize("name", PAGES["names"]())
def test_a_page_is_in_step_with_the_help(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")

    assert PAGES["page"](name) == text, "python docs/generate_commands.py renews it"
