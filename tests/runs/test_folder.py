"""A run folder is complete, or visibly not."""

import json

import pytest

from lightprune.errors import InputError
from lightprune.runs.folder import RunFolder, command_overrides


def test_a_folder_without_a_record_is_incomplete(tmp_path):
    assert RunFolder(tmp_path).record() is None


def test_a_record_comes_back_as_it_was_written(tmp_path):
    RunFolder(tmp_path).complete({"test": {"accuracy": 0.5}})

    assert RunFolder(tmp_path).record() == {"schema": 1, "test": {"accuracy": 0.5}}


@pytest.mark.parametrize("text", ["{", json.dumps({"schema": 99})])
def test_a_record_that_cannot_be_read_is_an_error_that_names_the_file(tmp_path, text):
    (tmp_path / "run.json").write_text(text)

    with pytest.raises(InputError, match=r"run\.json.*force=true"):
        RunFolder(tmp_path).record()


def test_clearing_deletes_what_a_run_made_and_leaves_whose_it_was(tmp_path):
    folder = RunFolder(tmp_path)
    for name in ("run.json", "config.yaml", "metrics.csv", "model.safetensors", "notes.txt"):
        (tmp_path / name).write_text("x")
    folder.checkpoints.mkdir()
    (folder.checkpoints / "last.ckpt").write_text("x")
    folder.clear()

    assert sorted(f.name for f in tmp_path.iterdir()) == ["config.yaml", "notes.txt"]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("+data.root='/a b/c'", "/a b/c"),
        ("data.root=/a", "/a"),
        ("\"data.root='/a, b=1/it\\'s'\"", "/a, b=1/it's"),
        ("'data.root=\"/a b\"'", "/a b"),
    ],
)
def test_places_are_those_of_the_command_without_its_quotes(word, value):
    record = {"command": f"train.py -m data=images {word} seed=1"}

    assert command_overrides(record)["data.root"] == value
