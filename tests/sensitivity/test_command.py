"""`lightprune sensitivity RUN` on a real run: what it writes and prints, and what it refuses."""

import csv
import io
import json
import shlex
import shutil
from contextlib import redirect_stdout

import pytest
import yaml

from lightprune.cli.main import main
from tests.export.finished import change_record
from tests.sensitivity.conftest import OWN

QUICK = (*OWN, "--images", "60", "--batches", "1")
PLACES = ("hydra.run.dir", "dense.cache_dir", "data.cache_dir")


@pytest.fixture(scope="module")
def scanned(run, tmp_path_factory):
    """The folder of a scan, and beside it what was printed."""
    folder = shutil.copytree(run, tmp_path_factory.mktemp("scanned") / "run")
    printed = io.StringIO()
    with redirect_stdout(printed):
        assert main(["sensitivity", str(folder), *QUICK, "--sparsities", "0.95,0.5,0.9"]) == 0
    (folder.parent / "printed").write_text(printed.getvalue())
    return folder / "sensitivity"


def rows(folder):
    with (folder / "sensitivity.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pairs(folder):
    return dict(yaml.safe_load((folder / "allocation.yaml").read_text()))


def refused(capsys, *arguments):
    assert main(["sensitivity", *map(str, arguments)]) == 1
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    return errors


def test_everything_is_written(scanned):
    names = ("allocation.yaml", "sensitivity.csv", "sensitivity.png", "sensitivity.svg")
    assert sorted(file.name for file in scanned.iterdir()) == sorted(names)
    assert (scanned / "sensitivity.png").read_bytes().startswith(b"\x89PNG")
    svg = (scanned / "sensitivity.svg").read_text()
    found = rows(scanned)
    layers = list(dict.fromkeys(row["name"] for row in found))

    assert len(layers) == 12
    assert list(pairs(scanned)) == layers
    assert all(f">{name.removesuffix('.weight')}<" in svg for name in layers)
    assert [float(row["sparsity"]) for row in found] == [0, 0.5, 0.9, 0.95] * 12
    for row in found:
        assert int(row["zeros"]) == round(float(row["sparsity"]) * int(row["weights"]))
        assert float(row["accuracy"]) == int(row["correct"]) / 60
    whole = float(found[0]["accuracy"])
    assert all(float(r["drop"]) == pytest.approx(whole - float(r["accuracy"])) for r in found)


def test_the_allocation_has_the_runs_own_total(scanned):
    sizes = {row["name"]: int(row["weights"]) for row in rows(scanned)}
    cost = json.loads((scanned.parent / "run.json").read_text())["cost"]
    zeros = [round(share * sizes[name]) for name, share in pairs(scanned).items()]

    assert sum(zeros) == cost["weights"] - cost["nnz"] == round(0.8 * sum(sizes.values()))
    assert max(pairs(scanned).values()) <= 0.951


def test_the_printed_command_prunes_by_the_allocation(scanned, run, server, tmp_path):
    lines = (scanned.parents[1] / "printed").read_text().splitlines()
    line = next(line for line in lines if line.startswith("python "))
    words = [word for word in shlex.split(line)[2:] if word.partition("=")[0] not in PLACES]
    shutil.copytree(run.parent / "dense", tmp_path / "dense")

    done = server.train(tmp_path, *words)

    assert done.returncode == 0, done.stderr
    with (tmp_path / "run" / "layers.csv").open(newline="") as file:
        layers = {row["name"]: row for row in csv.DictReader(file)}
    for name, share in pairs(scanned).items():
        size = int(layers[name]["weights"])
        assert size - int(layers[name]["nnz"]) == round(share * size)
    cost, before = (
        json.loads((folder / "run.json").read_text())["cost"] for folder in (tmp_path / "run", run)
    )
    assert cost["nnz"] == before["nnz"]


def test_the_table_says_what_each_sparsity_costs(scanned):
    printed = (scanned.parents[1] / "printed").read_text()
    found = [row for row in rows(scanned) if row["name"] == "layer1.0.conv1.weight"]
    signed = [f"{-100 * float(row['drop']):+.1f}".replace("-", "−") for row in found]
    points = ["0.0" if text[1:] == "0.0" else text for text in signed]
    line = next(line for line in printed.splitlines() if "layer1.0.conv1 " in line)

    assert line.split()[2:5] == points[1:]
    assert "this allocation" in printed
    assert printed.splitlines()[-1] == str(scanned / "allocation.yaml")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--sparsities", "0.5,1"), "--sparsities=1.0: allowed is a number in [0, 1)"),
        (("--sparsities", "-0.1"), "--sparsities"),
        (("--sparsities", "0.5,nan"), "--sparsities=nan"),
        (("--sparsities", "0.5;0.9"), "allowed are numbers in [0, 1) with commas"),
        (("--sparsities", "0.5,0.7"), "--target=0.8: is outside of what is measured"),
        (("--sparsities", "0.9", "--target", "0.95"), "--target=0.95: is outside of what"),
        (("--target", "1"), "--target=1.0: allowed is a number in (0, 1)"),
        (("--target", "much"), "--target"),
        (("--drop", "101"), "--drop=101"),
        (("--drop", "1", "--target", "0.5"), "--drop=1: allowed is either this or --target"),
        (("--images", "0"), "--images=0: allowed is an integer at least 1"),
        (("--batches", "10"), "--batches=10: allowed is an integer in [1, 9]"),
        (("--network", "denser"), "allowed are dense, pruned; did you mean dense?"),
        (("--dense-dir", "nowhere"), "is not there, with the weights that the run began with"),
        (("--data-root", "nowhere"), "Digits lie in no folder"),
        (("--constructor", "tests.system.tiny.nothing"), "has no attribute 'nothing'"),
    ],
)
def test_wrong_input_is_one_line(run, capsys, arguments, said):
    if "--constructor" not in arguments:
        arguments = (*OWN, *arguments)

    assert said in refused(capsys, run, *arguments)


def test_nothing_is_imported_because_a_run_says_so(run, capsys):
    assert "is not imported because a file says so" in refused(capsys, run)


def test_a_wrong_folder_is_one_line(copy, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert "is not there" in refused(capsys, tmp_path / "gone", *OWN)
    assert "holds no run" in refused(capsys, tmp_path / "empty", *OWN)
    change_record(copy, lambda record: record.pop("dense"))
    assert "is damaged (Object missing required field `dense`)" in refused(capsys, copy, *OWN)
    (copy / "run.json").unlink()
    assert "is not finished" in refused(capsys, copy, *OWN)


def test_other_data_or_other_weights_are_refused(copy, capsys):
    change_record(copy, lambda record: record["data"].update(fingerprint="another"))
    assert "holds other images than the run was trained on" in refused(capsys, copy, *OWN)
    change_record(copy, lambda record: record["dense"].update(weights_sha256="another"))
    assert "does not hold the weights" in refused(capsys, copy, *OWN)
