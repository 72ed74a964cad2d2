"""Runs, reports and files in a locale that knows only ASCII: nothing differs, nothing crashes."""

import subprocess
import sys

import pytest

from lightprune.data.image_folder import ImageFolder
from lightprune.files import read_csv
from tests.system.bad_input.damage import class_folders
from tests.system.entry import ROOT, arguments, environment, record, shortest

# Python's own remedies against such a locale are switched off.
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
WRITES = """
import sys
from pathlib import Path
from lightprune.files import csv_text, read_csv, write_text
from lightprune.console_encoding import accept_any_text
folder = Path(sys.argv[1])
write_text(folder / "rows.csv", csv_text(("näme",), [("日本 – é",), (folder.name,)]))
assert read_csv(folder / "rows.csv")[0] == {"näme": "日本 – é"}
accept_any_text()
print("é – 日")
"""


def in_ascii(*command):
    env = {**environment(), **ASCII}
    env.pop("PYTHONIOENCODING", None)
    command = [sys.executable, *map(str, command)]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, timeout=120, check=False)


def test_text_files_are_utf_8_and_output_shows_what_ascii_lacks_as_escapes(tmp_path):
    folder = tmp_path / "é"
    folder.mkdir()
    (tmp_path / "writes.py").write_text(WRITES, "utf-8")
    done = in_ascii(tmp_path / "writes.py", folder)

    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"\\xe9 \\u2013 \\u65e5\n"
    assert read_csv(folder / "rows.csv") == [{"näme": "日本 – é"}, {"näme": "é"}]


def quoted(overrides):
    """Hydra takes such letters in quotes only."""
    return [
        override if override.isascii() else override.replace("=", "='", 1) + "'"
        for override in overrides
    ]


@pytest.mark.long
def test_a_run_names_the_classes_and_its_report_the_folder(tmp_path):
    folder = tmp_path / "é"
    root = class_folders(folder / "Bilder für 日本", 6)
    for part in ("train", "test"):
        (root / part / "cat").rename(root / part / "chatte–ñ")
        (root / part / "dog").rename(root / part / "ä")
    settings = ("data=images", f"data.root={root}", "data.validation=4")
    batches = (
        "recipe.dense.batch_size=8",
        "recipe.finetune.batch_size=8",
        "schedule.sparsity=0.5",
    )
    overrides = [each for each in shortest() if each != "data=digits"]
    done = in_ascii("train.py", *quoted(arguments(folder, *overrides, *settings, *batches)))

    assert done.returncode == 0, done.stderr.decode()
    data = record(folder / "run")["data"]
    assert data["classes"] == ["chatte–ñ", "ä"]
    source = ImageFolder(root=str(root))
    assert data["fingerprint"] == source.decode(source.files()).fingerprint()

    reported = in_ascii("-m", "lightprune", "report", folder)
    assert reported.returncode == 0, reported.stderr.decode()
    assert "\né: 1 run." in (folder / "report" / "report.md").read_text("utf-8")
