"""README's result table is the one that results/ gives."""

import json
import shutil
from pathlib import Path

import pytest

from lightprune.errors import InputError
from lightprune.report.discovery import BENCH
from study.__main__ import main
from study.publish import END, START, publish, replace_block, results_block, strip_paths
from study.reference import DATASET_NAMES
from tests.report.run_folders import config, make_bench, make_run

ROOT = Path(__file__).parents[2]


def test_readme_is_in_step_with_the_results():
    readme = (ROOT / "README.md").read_text()

    assert replace_block(readme, results_block(ROOT / "results")) == readme, (
        "make results renews it"
    )


def test_without_results_readme_says_that_they_follow(tmp_path):
    assert results_block(tmp_path / "results") == "Measured results follow."


def test_make_results_keeps_runs_and_writes_the_table(tmp_path):
    sweep, results, readme = (tmp_path / n for n in ("reference-fast", "results", "README.md"))
    right = [True] * 80 + [False] * 20
    dense_right = [True] * 81 + [False] * 19
    make_run(
        sweep / "any",
        right,
        dense_right=dense_right,
        config=config(),
        layers={"w": (11_166_912, 4_220_096, 1)},
        live_nnz=223_338,
        fingerprint=next(iter(DATASET_NAMES)),
    )
    readme.write_text(f"# Title\n\n{START}\nold\n{END}\n\nmore\n")
    arguments = ["publish", str(sweep), "--results", str(results), "--readme", str(readme)]
    assert main([*arguments, "--dense-dir", str(sweep / "dense")]) == 0
    first = readme.read_text()
    shutil.rmtree(sweep)  # What is committed tells it alone.
    assert main(["publish", *arguments[2:]]) == 0

    assert (results / "fast" / "global_98_one_shot-seed0" / "run.json").exists()
    assert {f.name for f in next((results / "dense").iterdir()).iterdir()} == {
        *("dense.json", "metrics.csv", "predictions.csv")
    }
    assert "are not at hand" not in (results / "report" / "report.md").read_text()
    assert readme.read_text() == first
    assert first.startswith("# Title\n\n")
    assert first.endswith("\n\nmore\n")
    assert "| dense | 0 | 81.00 % |  | 86.9 % | 0.00 % | 37.8 % | 22 |" in first
    row = "| global 98 % one_shot | 0 | 80.00 % | −1.00 | 86.8 % | 94.71 % | 2.0 % | 22 + 8 |"
    assert row in first
    assert "Data: CIFAR-10, JPEG q75 (488e9dd6)" in first


def test_two_runs_are_not_kept_as_one(tmp_path):
    for name, peak in (("a", 0.1), ("b", 0.2)):
        right = [True, False] * 10
        make_run(tmp_path / name, right, dense_right=right, config=config(peak=peak))

    with pytest.raises(InputError, match="a and b would both be kept as global_98_one_shot-seed0"):
        publish(tmp_path, tmp_path / "dense", tmp_path / "results")


@pytest.mark.parametrize(
    ("typed", "stripped"),
    [
        ("train.py data.root=/home/me/cifar10 seed=0", "train.py data.root=.../cifar10 seed=0"),
        ("train.py \"data.root='/a/b/c,d'\"", "train.py \"data.root='.../c,d'\""),
        ("lightprune bench /srv/runs/one --batches 1", "lightprune bench .../one --batches 1"),
        ("train.py data.root=data/cifar10 a=1/2", "train.py data.root=data/cifar10 a=1/2"),
        ("bench --url http://host/a/b", "bench --url http://host/a/b"),
    ],
)
def test_a_kept_record_names_no_place_of_a_machine(typed, stripped):
    record = {"command": typed, "config": {"shape": "a / b", "share": 0.5}, "path": "outputs/x/y"}
    expected = {**record, "command": stripped}

    assert json.loads(strip_paths(json.dumps(record, indent=1))) == expected


def test_a_readme_without_the_comments_is_refused():
    with pytest.raises(InputError, match="lacks the lines"):
        replace_block("# Title\n", "block")


def timed_run(folder, about):
    right, dense_right = [True] * 16 + [False] * 4, [True] * 18 + [False] * 2
    record = make_run(folder, right, dense_right=dense_right, config=config(**about))
    make_bench(folder, record, ms={"eager": 2.0, "onnx": 1.0, "onnx-stripped": 0.8, "sparse": 0.25})


@pytest.mark.parametrize("sweep", ["speed-fast", "methods-fast"])
def test_a_sweep_for_speed_or_of_methods_is_kept_apart(tmp_path, sweep):
    about = {"criterion": "MagnitudePerMac"}
    for number, exponent in enumerate((0.25, 0.375, 0.5)):
        timed_run(tmp_path / sweep / str(number), {**about, "exponent": exponent})
    results = tmp_path / "results"
    folders = publish(tmp_path / sweep, tmp_path / sweep / "dense", results)

    names = [f"magnitude_per_mac_98_one_shot_exponent_{e}-seed0" for e in (0.25, 0.375, 0.5)]
    assert [place.relative_to(results).as_posix() for place in folders] == [
        f"{sweep}/{name}" for name in names
    ]
    assert all((place / BENCH).exists() for place in folders)
    assert results_block(results) == "Measured results follow."

    timed_run(tmp_path / "reference-fast" / "a", {})
    publish(tmp_path / "reference-fast", tmp_path / "reference-fast" / "dense", results)
    block = results_block(results)
    assert "| global 98 % one_shot |" in block
    assert "magnitude_per_mac" not in block
    shutil.rmtree(results / sweep)
    assert results_block(results) == block
