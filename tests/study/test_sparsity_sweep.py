"""The speed-up by sparsity: break-even, JSON, and the benchmark itself on a tiny network."""

import importlib.util
from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from lightprune.bench.backends import select_backends
from lightprune.errors import InputError
from study.sparsity_sweep import SparsitySweep, read_benchmark
from tests.bench.test_backends import Small
from tests.report.run_folders import speed_ups
from tests.system.tiny import tiny_resnet


@pytest.mark.parametrize(
    ("ms", "sparsity"),
    [
        # The dense network takes 1 ms.
        ({0.0: 3.0, 0.5: 2.0, 0.9: 0.5}, 0.5 + 0.4 * (2.0 - 1.0) / (2.0 - 0.5)),
        ({0.5: 2.0, 0.9: 1.0, 0.95: 0.9}, 0.9),
        ({0.5: 0.9, 0.9: 0.2}, 0.5),
        ({0.5: 2.0, 0.9: 1.1}, None),
        # Faster, slower, faster: the first time counts.
        ({0.0: 2.0, 0.5: 1.0, 0.8: 1.2, 0.9: 0.1}, 0.5),
    ],
)
def test_break_even_lies_between_levels_where_times_are_equal(ms, sparsity):
    (network,) = speed_ups(any=ms).networks

    for pair in network.thread_batches:
        found = network.break_even(*pair)
        assert found == (sparsity and pytest.approx((sparsity, 1 - sparsity)))


def read(file):
    return read_benchmark(file, SparsitySweep, "speedup.py")


def test_what_is_not_timed_breaks_nowhere_even():
    (network,) = speed_ups(any={0.9: 0.1}).networks

    assert replace(network, dense=()).break_even(1, 1) is None


def test_written_is_read(tmp_path):
    found = speed_ups(one={0.0: 2.0, 0.9: 0.5}, other={0.95: 0.2})
    file = tmp_path / "speedup.json"
    file.write_text(found.to_json())

    assert read(file) == found
    assert read(tmp_path / "nothing.json") is None


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"networks": [{}], "machine": {}}'])
def test_a_damaged_measurement_is_one_line(tmp_path, text):
    file = tmp_path / "speedup.json"
    file.write_text(text)

    with pytest.raises(InputError, match=r"speedup\.json: is damaged \(.*benchmarks/speedup\.py"):
        read(file)


@pytest.fixture
def benchmark(monkeypatch):
    place = Path(__file__).parents[2] / "benchmarks" / "speedup.py"
    spec = importlib.util.spec_from_file_location("speedup", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # ONNX takes seconds to export.
    monkeypatch.setattr(module, "DENSE", select_backends("eager,channels-last"))
    return module


@pytest.mark.long
def test_the_benchmark_prunes_compares_and_times(benchmark, capsys):
    network = benchmark.fresh(lambda num_classes: Small())
    options = Namespace(threads=[1], batches=[1, 3], rounds=1, seconds=1.0)
    spec = benchmark.fresh_spec("small")
    found = benchmark.measure(spec, "any", network, benchmark.ALL, [0.0, 0.9], options)
    benchmark.show(found)

    assert found.thread_batches == ((1, 1), (1, 3))
    assert {timing.backend for timing in found.dense} == {"eager", "channels-last"}
    assert [level.sparsity for level in found.levels] == pytest.approx([0.0, 0.9], abs=1e-3)
    assert found.levels[1].mac_density < found.levels[0].mac_density
    for level in found.levels:
        assert level.max_logit_difference < 1e-4 * max(1, level.max_logit)
        assert {timing.backend for timing in level.timings} == {"sparse"}
    assert all(found.speedup(level, 1, 3).over_dense for level in found.levels)
    assert "break-even 1x3" in capsys.readouterr().out


@pytest.mark.long
def test_the_benchmark_prunes_the_dense_network_that_a_run_started_from(
    benchmark, finished_sweep, monkeypatch
):
    ours = partial(benchmark.module_from_spec, constructor=tiny_resnet)
    monkeypatch.setattr(benchmark, "module_from_spec", ours)
    folder = next(file.parent for file in finished_sweep.glob("sweep/*/run.json"))

    dense, spec = benchmark.dense_of(folder, finished_sweep / "dense")

    assert all(weight.all() for weight in benchmark.CONVOLUTIONS.find(dense).values())
    assert dense(torch.zeros(1, *spec.input_shape)).shape == (1, 10)
