"""Help and refusals of the training command: short, complete, and without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from lightprune.launch.help_text import help_text

CONFIGS = Path(__file__).parents[2] / "configs"


def rows(text):
    """The options of each group, from lines that may be continued."""
    listed = text.partition("Groups:\n")[2].partition("\n\n")[0]
    found, group = {}, ""
    for line in listed.splitlines():
        group = line[:22].strip() or group
        found.setdefault(group, []).extend(line[22:].strip(" ,").split(", "))
    return found


def test_help_names_every_group_and_option_in_thirty_lines():
    text = help_text(None)
    listed = rows(text)

    assert len(text.splitlines()) <= 30
    assert max(map(len, text.splitlines())) <= 100
    for file in CONFIGS.glob("*/**/*.yaml"):
        group = file.parent.relative_to(CONFIGS).as_posix()
        if not group.startswith("hydra"):
            assert {file.stem, f"{file.stem.partition('_')[0]}_*"} & set(listed[group])


def test_help_shows_the_options_in_a_folder_of_ones_own(tmp_path):
    (tmp_path / "schedule").mkdir()
    (tmp_path / "schedule" / "mine.yaml").touch()

    assert "mine" in rows(help_text(str(tmp_path)))["schedule"]
    assert "mine" not in rows(help_text(None))["schedule"]


@pytest.mark.parametrize(
    ("word", "status", "answer"),
    [
        ("--help", 0, "Usage: lightprune train"),
        ("pruner=globl", 1, "did you mean global?"),
        ("schedule.sparsty=0.9", 1, "schedule.sparsty: no such key"),
    ],
)
def test_a_command_line_is_answered_without_torch(tmp_path, word, status, answer):
    code = (
        "import sys\n"
        "from lightprune.launch.hydra_main import main\n"
        "try:\n    main()\n"
        "finally:\n    print({'torch', 'lightning', 'rich', 'scipy'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, word],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout.splitlines()[-1]) == (status, "set()"), done.stderr
    assert answer in done.stdout + done.stderr
