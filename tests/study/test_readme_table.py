"""README's generated parts are those that results/ gives."""

import json
import re
import shutil
from pathlib import Path

import pytest

from lightprune.errors import InputError
from lightprune.report.discovery import BENCH, find_runs
from lightprune.report.groups import group_runs
from lightprune.report.result_table import result_rows
from study.__main__ import main
from study.publish import publish, strip_paths
from study.readme import FIGURE, generate, replace_block
from study.reference import DATASET_NAMES
from tests.report.run_folders import config, make_bench, make_run

ROOT = Path(__file__).parents[2]
EMPTY = "".join(
    f"<!-- {name}: made by `make results` -->\nold\n<!-- end of {name} -->\n\nmore\n"
    for name in ("results", "quick start")
)
WHOLE_NETWORK = {"layers": {"w": (11_166_912, 4_220_096, 1)}, "live_nnz": 223_338}


def results_block(results):
    return generate(results).parts["results"].replace("\N{NO-BREAK SPACE}", " ")


def quick_start_block(results):
    return generate(results).parts["quick start"]


@pytest.fixture(scope="module")
def generated():
    return generate(ROOT / "results")


def test_readme_is_in_step_with_the_results(generated):
    readme = (ROOT / "README.md").read_text()

    assert generated.renew(readme) == readme, "make results renews it"


def test_the_figure_says_what_the_results_give(generated):
    def words(svg):
        return sorted(re.findall(r">([^<>]*[0-9][^<>]*)</(?:text|title)", svg))

    committed = (ROOT / "results" / FIGURE).read_text()
    assert words(committed) == words(generated.figure), "make results renews it"
    assert "global 98 % one_shot\n86.92 ± 0.21 %" in committed
    places = set(re.findall('href="([^"]*)"', committed))
    assert places
    assert all((ROOT / "results" / place).exists() for place in places)


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
        **WHOLE_NETWORK,
        fingerprint=next(iter(DATASET_NAMES)),
    )
    readme.write_text(f"# Title\n\n{EMPTY}")
    arguments = ["publish", str(sweep), "--results", str(results), "--readme", str(readme)]
    assert main([*arguments, "--dense-dir", str(sweep / "dense")]) == 0
    first = readme.read_text()
    shown = first.replace("\N{NO-BREAK SPACE}", " ")
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
    dense = "| dense, 22 epochs | 81.00 % (1) |  | 11,166,912 | 11.2 M | 45 MB | 1 / 1 |"
    assert dense in shown
    row = "| global 98 % one_shot | 80.00 % (1) |  | 223,338 | 0.2 M | – | – |"
    assert row in shown
    assert "ResNet18, CIFAR-10, JPEG q75 (488e9dd6)" in first


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
        replace_block("# Title\n", "results", "block")


def timed_run(folder, about):
    right, dense_right = [True] * 16 + [False] * 4, [True] * 18 + [False] * 2
    about = {"config": config(**about), **WHOLE_NETWORK}
    record = make_run(folder, right, dense_right=dense_right, **about)
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


def test_a_dense_network_trained_elsewhere_is_kept_beside_the_first_of_its_key(tmp_path):
    results = tmp_path / "results"
    for machine, right in (("one", 18), ("other", 12)):
        sweep = tmp_path / machine / f"tried-{machine}"
        dense_right = [True] * right + [False] * (20 - right)
        make_run(sweep / "a", [True] * 20, dense_right=dense_right, config=config())
        (record,) = sweep.glob("dense/*/dense.json")
        for file in (record, sweep / "a" / "run.json"):
            key, text = record.parent.name, file.read_text()
            text = text.replace(f'"weights_sha256": "{key}"', f'"weights_sha256": "{machine}{key}"')
            file.write_text(text)
        publish(sweep, sweep / "dense", results)
    collection = find_runs(results, results / "dense")

    assert [run.dense_predictions.correct.count(True) for run in collection.runs] == [18, 12]
    rows = result_rows(group_runs(collection.runs))
    assert [(row.seeds, row.accuracy.mean) for row in rows if not row.group] == [
        ("0", 0.9),
        ("0", 0.6),
    ]


def trained_as_long(results, name, right, live_nnz, timed="", **about):
    """A run of 22 + 8 epochs with so many of 1,000 test images right, timed on a processor."""
    answers = [True] * right + [False] * (1000 - right)
    unreachable = 11_166_912 - 4_220_096 if live_nnz == 4_220_096 else 0
    record = make_run(
        results / name,
        answers,
        dense_right=[True] * 830 + [False] * 170,
        config=config(**about),
        layers=WHOLE_NETWORK["layers"],
        live_nnz=live_nnz,
        unreachable_nnz=unreachable,
    )
    if timed:
        make_bench(
            results / name, record, ms={"eager": 2.0, "onnx": 1.0, "sparse": 0.25}, processor=timed
        )


@pytest.fixture
def results(tmp_path):
    trained_as_long(tmp_path, "control", 840, 4_220_096, scope=None)
    trained_as_long(tmp_path, "global 98", 836, 223_338, timed="CPU")
    trained_as_long(tmp_path, "global 99", 830, 111_669, sparsity=0.99)
    trained_as_long(tmp_path, "local", 800, 643_214, scope="local", sparsity=0.9424)
    return tmp_path


def rows_of(block):
    """The cells of the first three columns."""
    lines = [line.split(" | ") for line in block.splitlines() if line.startswith("| ")][2:]
    return [(name.removeprefix("| "), *rest[:2]) for name, *rest in lines]


def test_differences_are_to_the_dense_network_that_trained_as_long(results):
    block = results_block(results)

    first, *others = rows_of(block)
    assert [first, *((*cells, pp.partition(" ")[0]) for *cells, pp in others)] == [
        # 10 of 1,000 images apart: Bonett and Price's interval by hand.
        ("dense, 22 epochs", "83.00 % (1)", "−1.00 (−1.67 to −0.32)"),
        ("control, 22 + 8 epochs", "84.00 % (1)", ""),
        ("**global 98 % one_shot**", "83.60 % (1)", "−0.40"),
        ("global 99 % one_shot", "83.00 % (1)", "−1.00"),
        ("local 94.24 % one_shot", "80.00 % (1)", "−4.00"),
    ]
    assert block.startswith(
        "**lightprune takes 98 % of the convolution weights out of a ResNet18; its CIFAR-10 "
        "accuracy then differs by −0.40 pp (95 % interval"
    )
    assert "a CPU runs it 4.0 times (one image) and 4.0 times (64 at once) as fast" in block


def test_of_controls_with_as_many_seeds_the_most_accurate_is_shown(results):
    trained_as_long(results, "longer control", 860, 4_220_096, scope=None, epochs=(22, 16))
    trained_as_long(results, "longer", 858, 223_338, epochs=(22, 16))

    assert [row[:2] for row in rows_of(results_block(results))] == [
        ("dense, 22 epochs", "83.00 % (1)"),
        ("control, 22 + 16 epochs", "86.00 % (1)"),
        ("**global 98 % one_shot**", "85.80 % (1)"),
    ]


def test_a_difference_to_anything_but_the_control_is_not_shown_as_one(tmp_path):
    trained_as_long(tmp_path, "control", 905, 4_220_096, scope=None)
    trained_as_long(tmp_path, "other settings", 897, 223_338, peak=0.2)
    block = results_block(tmp_path)

    assert [pp for *_, pp in rows_of(block)] == ["−7.50 (−9.14 to −5.83)", "", ""]
    assert "trained as long" not in block.partition("\n")[0]


def test_the_machine_of_each_speed_up_is_named_where_they_differ(tmp_path):
    trained_as_long(tmp_path, "control", 840, 4_220_096, scope=None)
    trained_as_long(tmp_path, "global", 836, 223_338, timed="A")
    assert "ONNX Runtime (2 threads of A with AVX-512); –: not timed" in results_block(tmp_path)

    trained_as_long(tmp_path, "local", 800, 643_214, timed="B", scope="local", sparsity=0.9424)

    assert (
        "(global 98 % one_shot: 2 threads of A with AVX-512; "
        "local 94.24 % one_shot: 2 threads of B with AVX-512)"
    ) in results_block(tmp_path)


def test_the_sparsest_within_half_a_point_has_a_row_of_its_own(results):
    trained_as_long(results, "lamp", 840, 100_000, criterion="Lamp", sparsity=0.991)
    trained_as_long(results, "longer", 850, 50_000, sparsity=0.995, epochs=(22, 80))
    block = results_block(results)

    assert [name for name, *_ in rows_of(block)][2:] == [
        "global 98 % one_shot",
        "**lamp 99.1 % one_shot**",
        "local 94.24 % one_shot",
    ]
    assert "takes 99.1 % of the convolution weights" in block


def test_the_quick_start_says_what_was_measured(tmp_path):
    assert "# on CIFAR-10" in quick_start_block(tmp_path)
    provenance = {"command": "benchmark", "commit": "0123456789abcdef", "machine": "CPU, 2 cores"}
    loop = {"name": "lightprune", "batch_size": 256, "images_per_second": [1000.0]}
    (tmp_path / "throughput.json").write_text(json.dumps({**provenance, "loops": [loop]}))
    (tmp_path / "quick_start.json").write_text(json.dumps({**provenance, "seconds": {"demo": 61}}))
    block = quick_start_block(tmp_path)

    assert "# 22 min: on CIFAR-10" in block  # 30 epochs of 45,000 images
    assert "make demo" in block
    assert "# 61 s: all of it" in block
    assert "Times: CPU, 2 cores; the training's by its throughput on CPU, 2 cores, idle." in block
