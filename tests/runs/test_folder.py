"""A run folder is complete, or visibly not."""

import json

import pytest

from lightprune.errors import InputError
from lightprune.runs.folder import RunFolder
from tests.export.finished import run_record


def test_a_folder_without_a_record_is_incomplete(tmp_path):
    assert RunFolder(tmp_path).record() is None


def test_a_record_comes_back_as_it_was_written(tmp_path):
    record = run_record({"seed": 3})
    RunFolder(tmp_path).complete(record)

    assert RunFolder(tmp_path).record() == record
    assert json.loads((tmp_path / "run.json").read_text())["test"]["accuracy"] == 0.5


@pytest.mark.parametrize("text", ["{", json.dumps({"schema": 99})])
def test_a_record_that_cannot_be_read_is_an_error_that_names_the_file(tmp_path, text):
    (tmp_path / "run.json").write_text(text)

    with pytest.raises(InputError, match=r"run\.json: .*allowed is"):
        RunFolder(tmp_path).record()


def test_an_older_record_is_refused_with_its_version_and_what_wrote_it(tmp_path):
    old = {"schema": 1, "versions": {"lightprune": "0.0.9"}, "commit": "0123abc"}
    (tmp_path / "run.json").write_text(json.dumps(old))

    with pytest.raises(InputError, match=r"run\.json: schema=1.* 0\.0\.9, commit 0123abc"):
        RunFolder(tmp_path).finished()


def test_a_run_that_is_not_finished_is_told_from_a_folder_without_one(tmp_path):
    with pytest.raises(InputError, match="holds no run"):
        RunFolder(tmp_path).finished()
    (tmp_path / "config.yaml").write_text("seed: 0")
    with pytest.raises(InputError, match="is not finished"):
        RunFolder(tmp_path).finished()


@pytest.mark.parametrize(
    ("part", "key"), [("dense", "test_images"), ("test", "correct"), ("hardware", "device")]
)
def test_a_record_that_lacks_something_names_it_and_its_place(tmp_path, part, key):
    RunFolder(tmp_path).complete(run_record({}))
    record = json.loads((tmp_path / "run.json").read_text())
    del record[part][key]
    (tmp_path / "run.json").write_text(json.dumps(record))

    with pytest.raises(InputError, match=rf"run\.json: is damaged .*`{key}` - at `\$\.{part}`"):
        RunFolder(tmp_path).record()


@pytest.mark.parametrize(
    "name", ["notes.txt", ".DS_Store", "train.log", "slurm-7.out", "conf/hydra.yaml", "wandb/a"]
)
def test_files_that_a_run_does_not_write_are_no_obstacle(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("x")

    RunFolder(tmp_path).check_free()


@pytest.mark.parametrize(
    "name", ["run.json", "metrics.csv", "model.safetensors", "checkpoints/a.ckpt", "tensorboard/x"]
)
def test_what_a_run_would_overwrite_is_an_obstacle(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("x")

    with pytest.raises(InputError, match=f"holds {name.partition('/')[0]}, but no run"):
        RunFolder(tmp_path).check_free()
    (tmp_path / "config.yaml").write_text("seed: 0")
    RunFolder(tmp_path).check_free()


def test_clearing_deletes_what_a_run_made_and_leaves_whose_it_was(tmp_path):
    folder = RunFolder(tmp_path)
    for name in ("run.json", "config.yaml", "metrics.csv", "model.safetensors", "notes.txt"):
        (tmp_path / name).write_text("x")
    folder.checkpoints.mkdir()
    (folder.checkpoints / "last.ckpt").write_text("x")
    folder.clear()

    assert sorted(f.name for f in tmp_path.iterdir()) == ["config.yaml", "notes.txt"]
