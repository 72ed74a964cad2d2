"""`lightprune bench`: what it measures, prints and writes, on a network that takes microseconds."""

import json
import re
import shutil
import statistics

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lightprune.bench import backends
from lightprune.bench.evaluation_images import EvaluationImages
from lightprune.bench.output_check import compare_with_eager
from lightprune.bench.result import BenchResult
from lightprune.bench.timing import TimingBudget, take_turns
from lightprune.cli.main import main
from lightprune.data import ImageFolder
from lightprune.export.load import load
from lightprune.export.loaded_network import load_network
from tests.export.finished import OWN, change_record, finished_run, small_network

QUICK = ("--threads", "1", "--rounds", "1", "--no-startup", "--constructor", OWN)
KEYS = {
    "schema", "path", "command", "commit", "versions", "machine", "cost", "runtime_macs",
    "startup", "sizes", "evaluation_images", "backends", "skipped", "timings", "output_checks",
    "profile", "speedups",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run with 6 test images of each of its classes."""
    folder, network = finished_run(tmp_path_factory.mktemp("bench") / "run")
    generator = np.random.default_rng(0)
    for split, label, number in np.ndindex(2, 10, 6):
        place = folder.parent / "data" / ("train", "test")[split] / f"class {label}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (8, 8, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{number}.png")
    paths = {"root": str(folder.parent / "data"), "cache_dir": str(folder.parent / "cache")}

    def say_where(record):
        source = "lightprune.data.ImageFolder"
        record["config"]["data"]["_target_"] = source
        record["paths"] = {f"data.{key}": path for key, path in paths.items()}
        record["data"]["fingerprint"] = ImageFolder(size=8, **paths).load()[1]

    change_record(folder, say_where)
    return folder, network


def measured(path, *arguments):
    assert main(["bench", str(path), *QUICK, *arguments]) == 0
    folder = path if path.is_dir() else path.parent
    return json.loads((folder / "bench" / "bench.json").read_text())


@pytest.mark.usefixtures("no_onnx")
def test_everything_is_measured_written_and_printed(run, capsys):
    arguments = (
        "--batches",
        "2,1",
        "--backends",
        "eager,channels-last,csr,sparse,onnx",
        "--profile",
    )
    found = measured(run[0], *arguments)
    printed, progress = capsys.readouterr()
    folder = run[0] / "bench"

    # What takes how long, before anything does.
    timing, besides, *_ = progress.splitlines()
    pattern = r"about (\d+) s of timing .*, (\d+) s each: (.*); --backends NAME,NAME leaves .*"
    total, each, names = re.fullmatch(pattern, timing).groups()
    assert names.split(", ") == ["eager", "channels-last", "csr", "sparse"]
    assert abs(int(total) - 4 * int(each)) <= 2
    assert besides == "besides: every backend gets ready; at most 15 s a backend to compare outputs"

    assert found.keys() == KEYS
    assert found["schema"] == 2
    assert found["backends"].keys() == {"eager", "channels-last", "csr", "sparse"}
    timings = [(t["backend"], t["threads"], t["batch"]) for t in found["timings"]]
    assert timings == [(backend, 1, batch) for batch in (1, 2) for backend in found["backends"]]
    assert all(0 < t["median"] <= t["p90"] and t["calls"] for t in found["timings"])
    assert found["skipped"] == {"onnx": "pip install onnx onnxscript onnxruntime makes it possible"}
    assert "skipped: onnx: pip install" in printed
    assert "sparse runtime over it" in printed
    assert (folder / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert "images a batch" in (folder / "bench.svg").read_text()

    assert found["evaluation_images"] == "test images"
    checks = {c["backend"]: c for c in found["output_checks"]}
    assert checks.keys() == {*found["backends"], "sparse, fp16", "sparse, int8"}
    assert {c["images"] for c in checks.values()} == {60}
    exact = [c for name, c in checks.items() if not name.startswith("sparse, ")]
    assert len({c["correct"] for c in exact}) == 1
    assert all(c["max_logit_difference"] < 1e-4 for c in exact)
    assert all(c["differing"] == c["near_ties"] == 0 for c in exact)

    assert found["sizes"].keys() == {
        "safetensors, dense", "safetensors, dense, zlib", "sparse, fp32", "sparse, fp16",
        "sparse, int8",
    }  # fmt: skip
    assert found["cost"]["sparsity"] == pytest.approx(0.8, abs=0.01)
    single, batched = found["profile"]["batches"]
    assert single["images"] == 1 < batched["images"]
    whole = 2 * found["runtime_macs"]
    assert sum(o["flops"] for o in single["operations"]) == whole
    assert sum(o["flops"] for o in batched["operations"]) == whole * batched["images"]
    assert found["profile"]["peak"] > 1e8

    read = BenchResult.from_json((folder / "bench.json").read_text())
    assert json.loads(read.to_json()) == found


@pytest.mark.parametrize("values", ["fp16", "int8"])
def test_an_export_in_fewer_bits_says_what_it_costs(run, tmp_path, capsys, values):
    folder, network = run
    arguments = ("--values", values, "--formats", "sparse", "--to", str(tmp_path))
    assert main(["export", str(folder), *arguments, "--constructor", OWN]) == 0

    line = capsys.readouterr().out.splitlines()[-1]
    pattern = rf"accuracy in {values}: (.*)%, in float32 (.*)%; (\d+) of 60 predictions differ .*"
    reduced, float32, differing = map(float, re.fullmatch(pattern, line).groups())
    data = ImageFolder(size=8, root=str(folder.parent / "data"), cache_dir=str(tmp_path)).load()[0]
    images = EvaluationImages(
        "", data.test.images, data.test.labels, load_network(folder, small_network).spec
    )
    batch = torch.cat([*images.batches(60)])
    stored = load(tmp_path / "model.sparse.safetensors")
    with torch.inference_mode():
        for model, accuracy in ((network, float32), (stored, reduced)):
            correct = (model(batch).argmax(1) == images.labels).float().mean()
            assert 100 * float(correct) == pytest.approx(accuracy, abs=0.01)
        differ = (network(batch).argmax(1) != stored(batch).argmax(1)).sum()
    assert differing == differ


@pytest.mark.usefixtures("no_onnx")
def test_speedups_are_ratios_of_the_medians_beside_them(run):
    found = measured(run[0], "--batches", "1,17", "--backends", "eager,channels-last,sparse")

    for speedup in found["speedups"]:
        medians = {
            t["backend"]: t["median"] for t in found["timings"] if t["batch"] == speedup["batch"]
        }
        fastest = min(("eager", "channels-last"), key=medians.get)
        assert speedup["fastest_dense"] == fastest
        assert speedup["over_dense"] == medians[fastest] / medians["sparse"]
        assert speedup["over_stripped"] is None


@pytest.mark.long
@pytest.mark.usefixtures("no_onnx")
def test_an_export_is_measured_like_its_run(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # Decoded images are kept in outputs/data.
    assert main(["export", str(run[0]), "--to", str(tmp_path), "--constructor", OWN]) == 0
    arguments = ("--batches", "1", "--backends", "sparse")

    for path in (tmp_path, tmp_path / "model.sparse.safetensors", tmp_path / "model.safetensors"):
        found = measured(path, *arguments)
        # Nothing here says where the test images are.
        assert found["evaluation_images"] == "random images"
        assert "--data-root" in found["skipped"]["accuracy"]
        assert found["output_checks"][0]["correct"] is None
        assert found["output_checks"][0]["max_logit_difference"] < 1e-4
        assert found["speedups"][0]["fastest_dense"] is None
    data = ("--data-root", str(run[0].parent / "data"))
    assert measured(tmp_path, *arguments, *data)["evaluation_images"] == "test images"


@pytest.mark.usefixtures("no_onnx")
def test_test_images_of_other_data_are_said_to_be(run, tmp_path):
    folder = shutil.copytree(run[0], tmp_path / "run")
    change_record(folder, lambda record: record["data"].update(fingerprint="another"))

    found = measured(folder, "--batches", "1", "--backends", "eager")
    assert found["evaluation_images"] == "test images, of other data than the run was tested with"


@pytest.mark.usefixtures("no_onnx")
def test_a_weight_beyond_fp16_leaves_only_that_out(tmp_path):
    folder, _ = finished_run(tmp_path / "run")
    weights = load_file(folder / "model.safetensors")
    weights["4.weight"][0, 0, 0, 0] = 1e6
    save_file(weights, folder / "model.safetensors")
    found = measured(folder, "--batches", "1", "--backends", "eager,sparse")

    assert found["skipped"].keys() == {"accuracy", "sparse, fp16"}
    assert "4.weight: holds 1e+06" in found["skipped"]["sparse, fp16"]
    assert "sparse, fp16" not in found["sizes"]
    assert found["backends"].keys() == {"eager", "sparse"}


def test_a_backend_that_fails_is_skipped_with_its_reason(run, monkeypatch):
    def fail(files, threads):
        raise RuntimeError("no such instruction\nand more")

    broken = backends.Backend("eager", "eager", fail, dense=True)
    others = [b for b in backends.BACKENDS if b.name == "csr"]
    monkeypatch.setattr(backends, "BACKENDS", (broken, *others))
    monkeypatch.setattr("lightprune.bench.compare.missing_packages", lambda: ["onnx"])
    monkeypatch.setattr("lightprune.bench.compare.BACKENDS", backends.BACKENDS)

    found = measured(run[0], "--batches", "1")
    assert found["skipped"] == {"eager": "no such instruction"}
    assert found["backends"].keys() == {"csr"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--threads", "0"), "--threads=0: allowed is an integer in [1, "),
        (("--threads", "1,x"), "--threads=1,x: allowed are whole numbers with commas between"),
        (("--batches", "8,8"), "--batches=8,8: names one twice"),
        (("--batches", "0"), "--batches=0: allowed is an integer in [1, "),
        (("--rounds", "0"), "--rounds=0: allowed is an integer in [1, "),
        (("--rounds", "two"), "'--rounds': Input should be a valid integer"),
        (
            ("--backends", "eagre"),
            "--backends=eagre: allowed are eager, eager-stripped, channels",
        ),
        (("--backends", "csr,csr"), "--backends=csr,csr: names one twice"),
        (("--engines", "csr"), "--engines: is `--backends`"),
        (("--layers",), "--layers: is `--profile`"),
        (("--batchs", "1"), "No such option: --batchs (Possible options: --backends, --batches); "),
        (("--to", "{run}/run.json"), "is no folder; allowed"),
        (("--data-root", "{run}/nothing"), "nothing: no such folder"),
        (("--data-root", "{run}/.."), "holds no class folder"),
    ],
)
def test_what_cannot_be_measured_is_one_line(run, capsys, arguments, said):
    places = [argument.replace("{run}", str(run[0])) for argument in arguments]

    assert main(["bench", str(run[0]), *QUICK, *places]) == 1
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert said in errors


@pytest.mark.parametrize("wrong", ["gone", "empty", "run.json", "model.safetensors"])
def test_a_wrong_path_is_one_line(run, tmp_path, capsys, wrong):
    path = tmp_path / wrong
    if wrong == "empty":
        path.mkdir()
    elif wrong != "gone":
        path.write_bytes(b"damaged")

    assert main(["bench", str(path), *QUICK]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith(f"error: {path}")
    assert errors.count("\n") == 1


def test_outputs_without_an_axis_of_classes_and_without_numbers_are_compared():
    eager = torch.tensor([1.0, torch.inf, torch.nan, 2.0])
    same = compare_with_eager("sparse", eager.clone(), eager, None)
    other = compare_with_eager("sparse", torch.tensor([1.0, 1.0, torch.nan, 2.5]), eager, None)

    assert (same.images, same.differing, same.max_logit_difference) == (4, 0, 0.0)
    assert other.max_logit_difference == torch.finfo(torch.float32).max


def test_calls_take_turns_and_slow_ones_get_fewer(monkeypatch):
    now, order = [0.0], []
    monkeypatch.setattr("lightprune.bench.timing.time.perf_counter", lambda: now[0])
    monkeypatch.setattr("lightprune.bench.timing.time.sleep", lambda seconds: None)

    def taking(name, seconds):
        def call():
            order.append(name)
            now[0] += seconds

        return call

    calls = {"fast": taking("fast", 0.01), "slow": taking("slow", 1.0)}
    found = take_turns(calls, TimingBudget(rounds=4, seconds_per_turn=0.02, total_seconds=4.0))

    assert {name: len(seconds) for name, seconds in found.items()} == {"fast": 8, "slow": 2}
    assert statistics.median(found["fast"]) == pytest.approx(0.01)
    # Two calls to see what one takes, or one that took long; one call unmeasured before each turn
    # of the fast one.
    assert order[:7] == ["fast"] * 2 + ["slow"] + ["fast"] * 3 + ["slow"]
    assert order[7:11] == ["slow"] + ["fast"] * 3
    torch.testing.assert_close(sum(found["slow"]), 2.0)
