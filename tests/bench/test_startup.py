"""How long the sparse runtime takes to start."""

import time
from dataclasses import asdict

import pytest

from lightprune.bench.model_files import ModelFiles
from lightprune.bench.startup import _start, measure_startup
from lightprune.export.loaded_network import load_network
from tests.export.finished import finished_run, small_network


@pytest.mark.long
def test_a_start_is_imports_then_load_then_a_first_call(tmp_path):
    folder, _ = finished_run(tmp_path / "run")
    file = ModelFiles(load_network(folder, small_network), tmp_path).sparse()
    began = time.time()
    seconds = asdict(_start(file, began - 1))

    assert seconds.keys() == {"imports", "load", "first_call"}
    assert min(seconds.values()) > 0
    assert seconds["imports"] > 1
    assert sum(seconds.values()) < 1.1 + time.time() - began


@pytest.mark.long
def test_the_second_start_finds_compiled_what_the_first_one_left(tmp_path):
    folder, _ = finished_run(tmp_path / "run")
    found = measure_startup(ModelFiles(load_network(folder, small_network), tmp_path).sparse())

    assert found.warm.first_call < found.cold.first_call / 2


@pytest.mark.long
def test_a_process_that_fails_says_why(tmp_path):
    with pytest.raises(RuntimeError, match=r"nothing\.sparse\.safetensors"):
        measure_startup(tmp_path / "nothing.sparse.safetensors")
