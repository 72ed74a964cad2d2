"""Training compute against the reference's, from a measurement that is made up."""

import copy
import importlib.util
import json
from pathlib import Path

import pytest
import torch

from lightprune.data.image_folder import ImageFolder
from lightprune.data.images import ImageDataset, ImageSet
from lightprune.errors import InputError
from study.__main__ import main
from study.compute import compute_section, training_time
from study.sparsity_sweep import read_benchmark
from study.throughput import Throughput
from tests.report.run_folders import config, findings_of, make_run

# The reference's network, so that runs are comparable.
LAYERS = {"w": (11_166_912, 4_220_096, 1)}
RIGHT = [True, False] * 10
# An epoch of the reference's 50,000 images takes 200 s, one of 45,000 images 90 s here.
REFERENCE = {"name": "reference", "batch_size": 128, "images_per_second": [240.0, 250.0, 260.0]}
OURS = {"name": "lightprune", "batch_size": 256, "images_per_second": [500.0]}


def written(folder, *loops):
    about = {"command": "benchmarks/throughput.py", "commit": "0123456789abcdef", "machine": "CPU"}
    file = folder / "throughput.json"
    file.write_text(json.dumps({**about, "loops": loops}))
    return file


def read(file):
    return read_benchmark(file, Throughput, "throughput.py")


def section(folder, *loops, **options):
    about = {"config": config(), "layers": LAYERS, "live_nnz": 223_338, **options}
    make_run(folder / "run", RIGHT, dense_right=RIGHT, **about)
    throughput = read(written(folder, *loops)) if loops else None
    return [*compute_section(findings_of(folder), throughput)]


def test_the_references_epochs_against_those_of_the_recipe(tmp_path):
    lines, how, source = section(tmp_path, REFERENCE, OURS)

    # 400 * 200 s = 22.2 h; 30 * 90 s = 45 min.
    assert lines == (
        "- The reference: 400 epochs x 200 s = 22.2 h; lightprune 22 + 8 epochs x "
        "90 s = 45 min: 29.6 x less."
    )
    assert "tests after epochs are left out" in how
    assert source == (
        "Measured on CPU, by `benchmarks/throughput.py`, commit `0123456789ab`: reference at batch "
        "size 128: 250 (240 to 260); lightprune at batch size 256: 500 (500 to 500) images a "
        "second (median, lowest and highest round)."
    )


def test_training_takes_as_long_as_the_epochs_at_that_rate(tmp_path):
    section(tmp_path, REFERENCE, OURS)
    (row,) = (row for row in findings_of(tmp_path).rows if row.pruned)
    measured, other = (
        training_time(read(written(tmp_path, REFERENCE, loop)))
        for loop in (OURS, {**OURS, "batch_size": 128})
    )

    assert measured.minutes_label(row.first) == "45"
    assert other.minutes_label(row.first) == ""
    assert training_time(None).minutes_label(row.first) == "70"
    assert measured.source == "at the throughput of CPU (see Training compute)"


def test_a_run_of_another_precision_is_counted_by_that_loops_rate(tmp_path):
    settings = {**config(), "trainer": {"precision": "bf16-mixed"}}
    quick = {**OURS, "name": "lightprune bf16-mixed", "images_per_second": [1000.0]}

    (line,) = section(tmp_path, REFERENCE, OURS, quick, config=settings)[0].splitlines()

    assert line.endswith("lightprune bf16-mixed 22 + 8 epochs x 45 s = 22 min: 59.3 x less.")


def test_a_teacher_counts_with_its_training_and_its_passes(tmp_path):
    about = config(epochs=(22, 10))
    for phase in about["recipe"].values():
        phase["distillation"] = {"weight": 0.5}
    make_run(tmp_path / "run", RIGHT, dense_right=RIGHT, config=about, layers=LAYERS, live_nnz=1)
    file = tmp_path / "run" / "run.json"
    record = json.loads(file.read_text())
    record["dense"]["teacher_epochs"] = 25
    file.write_text(json.dumps(record))
    taught = {**OURS, "name": "lightprune with a teacher", "images_per_second": [400.0]}
    without, lines = (
        compute_section(findings_of(tmp_path), read(written(tmp_path, REFERENCE, OURS, *loops)))
        for loops in ((), (taught,))
    )

    # 25 epochs of 90 s, and 22 and 10 of 112.5 s.
    whole = 25 * 90 + 32 * 112.5
    assert f"lightprune 25 + 22 + 10 epochs x {whole / 57:.0f} s = 1.6 h: 13.7 x less." in next(
        lines
    )
    assert "and lightprune at batch size 256 and lightprune with a teacher at" in next(without)
    dense, _ = findings_of(tmp_path).rows
    assert (dense.name, dense.epochs) == ("dense", "25 + 22")


@pytest.fixture(scope="module")
def benchmark():
    place = Path(__file__).parents[2] / "benchmarks" / "throughput.py"
    spec = importlib.util.spec_from_file_location("throughput", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_benchmark_writes_what_a_report_reads(tmp_path, benchmark):
    file = tmp_path / "throughput.json"
    file.write_text(json.dumps(benchmark.record({("reference", 128): [2.0, 1.0, 3.0]})))
    (loop,) = read(file).loops

    assert (loop.name, loop.batch_size, loop.rate) == ("reference", 128, 2.0)


@pytest.mark.long
def test_the_benchmark_times_both_loops_in_training(benchmark):
    batches = benchmark.WARM_UP + 1
    images = torch.randint(0, 256, (2 * batches, 32, 32, 3), dtype=torch.uint8)
    images = ImageSet(images, torch.arange(len(images)) % 10)
    data = ImageDataset(images, images, tuple("abcdefghij"))
    source = ImageFolder(validation="none")
    loops = (
        benchmark.Reference(images, source, 2),
        benchmark.Ours(data, source, 2),
        benchmark.Ours(data, source, 2, taught=True),
    )
    before = [copy.deepcopy(loop.network.state_dict()) for loop in loops]

    assert all(loop.rate(1) > 0 for loop in loops)
    for loop, weights in zip(loops, before, strict=True):
        assert not torch.equal(loop.network.fc.weight, weights["fc.weight"])


def test_no_measurement_is_said_plainly(tmp_path):
    (block,) = section(tmp_path)

    assert block.startswith("Training compute against the reference's: not measured (")


@pytest.mark.parametrize("loops", [(OURS,), (REFERENCE,), (REFERENCE, {**OURS, "batch_size": 512})])
def test_neither_is_half_a_measurement_enough(tmp_path, loops):
    lines = section(tmp_path, *loops)[0]

    assert lines.startswith("- Training compute of 22 + 8 epochs: not measured (it takes")


@pytest.mark.parametrize(
    "options", [{"users_weights": "1" * 64}, {"layers": {"w": (1000, 1000, 1)}}]
)
def test_what_is_not_the_references_question_is_not_held_against_it(tmp_path, options):
    lines = section(tmp_path, REFERENCE, OURS, **options)[0]

    assert lines == (
        "- Training compute: no run here trains the reference's network from the start."
    )


def test_a_damaged_measurement_is_one_line(tmp_path, capsys):
    for text, reason in (
        ("{", "truncated"),
        ('{"loops": [{"name": "reference"}]}', "missing required field `batch_size`"),
        (json.dumps({"loops": [{**OURS, "images_per_second": [0]}]}), "Expected `float` > 0"),
        (json.dumps({"loops": [{**OURS, "images_per_second": []}]}), "length >= 1"),
    ):
        file = tmp_path / "throughput.json"
        file.write_text(text)
        with pytest.raises(InputError, match=reason):
            read(file)
    make_run(tmp_path / "run", RIGHT, dense_right=RIGHT, config=config())

    assert main(["report", str(tmp_path), "--throughput", str(file)]) == 1
    assert capsys.readouterr().err.startswith(f"error: {file}: is damaged (")
