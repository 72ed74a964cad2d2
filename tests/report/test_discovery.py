import json
import shutil

import pytest

from lightprune.cli.main import main
from lightprune.errors import InputError
from lightprune.report.discovery import find_runs
from tests.report.run_folders import config, make_run

RIGHT = [True, False] * 10


@pytest.fixture
def folder(tmp_path):
    for name in ("good", "other"):
        make_run(tmp_path / name, RIGHT, dense_right=RIGHT, config=config())
    return tmp_path


def cut(path):
    path.write_text(path.read_text()[: len(path.read_text()) // 2])


def without(key):
    def spoil(folder):
        file = folder / "run.json"
        record = json.loads(file.read_text())
        del record[key]
        file.write_text(json.dumps(record))

    return spoil


def older(folder):
    about = {"schema": 1, "versions": {"lightprune": "0.0.9"}, "commit": "0123abc"}
    (folder / "run.json").write_text(json.dumps(about))


def other_predictions(folder):
    lines = (folder / "predictions.csv").read_text().splitlines()
    (folder / "predictions.csv").write_text("\n".join([lines[0], *reversed(lines[2:])]))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda f: cut(f / "run.json"), "run.json: is damaged"),
        (without("events"), "run.json: is damaged (Object missing required field `events`)"),
        (lambda f: (f / "layers.csv").unlink(), "layers.csv: No such file or directory"),
        (lambda f: (f / "metrics.csv").write_text("epoch\n0\n"), "lacks 'val_accuracy'"),
        (lambda f: (f / "predictions.csv").unlink(), "predictions.csv cannot be read"),
        (other_predictions, "predictions.csv has 9 of 19 images right, the record says 10 of 20"),
        (lambda f: cut(f / "layers.csv"), ""),
        (lambda f: (f / "run.json").rename(f / "config.yaml"), "is not finished"),
        (
            older,
            "run.json: schema=1: allowed is 2; it was written by lightprune 0.0.9, commit 0123abc",
        ),
    ],
)
def test_a_damaged_or_unfinished_run_is_named_and_left_out(folder, spoil, reason):
    spoil(folder / "other")
    collection = find_runs(folder, folder / "dense")

    assert [run.folder for run in collection.runs] == ["good"]
    ((name, left_out),) = collection.left_out.items()
    assert name == "other"
    assert left_out.startswith(reason)


def other_weights(dense):
    file = dense / "dense.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "weights_sha256": "other"}))


@pytest.mark.parametrize("spoil", [lambda dense: cut(dense / "predictions.csv"), other_weights])
def test_the_predictions_of_another_dense_network_do_not_count(folder, spoil):
    for dense in (folder / "dense").iterdir():
        spoil(dense)
    collection = find_runs(folder, folder / "dense")

    assert len(collection.runs) == 2
    assert all(run.dense_predictions is None for run in collection.runs)


def test_a_folder_without_finished_runs_is_one_line(folder, capsys):
    shutil.rmtree(folder / "good")
    (folder / "other" / "run.json").rename(folder / "other" / "config.yaml")

    assert main(["report", str(folder)]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        f"error: {folder}: holds no finished run; left out: other (is not finished); allowed is a "
        "folder with at least one complete run.json and its CSV files below it\n"
    )


def test_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        find_runs(tmp_path / "nowhere", tmp_path)


@pytest.mark.parametrize("arguments", [[], ["reprot"], ["report"], ["report", "a", "b"]])
def test_a_wrong_command_is_one_line(arguments, capsys):
    assert main(arguments) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_what_a_logger_keeps_within_a_run_is_no_run(folder):
    (folder / "good" / "wandb" / "files").mkdir(parents=True)
    (folder / "good" / "wandb" / "files" / "config.yaml").write_text("a: 1\n")

    assert find_runs(folder, folder / "dense").left_out == {}


def test_runs_below_a_config_that_is_none_of_theirs_are_found(folder):
    (folder / "config.yaml").write_text("a: 1\n")
    (folder / "good" / "run.json").rename(folder / "good" / "launch.yaml")
    found = find_runs(folder, folder / "dense")

    assert [run.folder for run in found.runs] == ["other"]
    assert "good" in found.left_out
