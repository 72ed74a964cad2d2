"""Where compiled code can be kept nowhere, kernels work, and one line says so."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from numba.core import config

import lightprune
from lightprune.export.export_network import export_network
from lightprune.export.loaded_network import load_network
from lightprune.sparse.jit import code_cache
from tests.export.finished import finished_run, small_network
from tests.permissions import obeyed_permissions
from tests.sparse.jit.test_compile import FUNCTION, hits, loaded

ONE_LINE = (
    "warning: compiled code cannot be kept; every process compiles it again; NUMBA_CACHE_DIR=DIR "
    "names a folder that you may write to"
)


@pytest.fixture
def installation(tmp_path):
    """The package in folders that nobody may write to, and the file of a network."""
    run, _ = finished_run(tmp_path / "run")
    export_network(load_network(run, small_network), tmp_path)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(lightprune.__file__).parent, tmp_path / "src/lightprune", ignore=ignored)
    for folder, _, _ in [*os.walk(tmp_path / "src"), (tmp_path / "nowhere", [], [])]:
        Path(folder).mkdir(exist_ok=True)
        Path(folder).chmod(0o555)
    tmp_path.chmod(0o755)
    return tmp_path


def process(installation, *arguments, **variables):
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=installation / "nowhere",
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.long  # Compiles every kernel, twice.
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_without_a_home_loads_and_runs_a_sparse_file(installation):
    file, package = installation / "model.sparse.safetensors", str(installation / "src")
    call = (Path(__file__).with_name("without_a_cache.py"), package, file)
    done = process(installation, *call, NUMBA_OPT="0")

    assert (done.returncode, done.stderr) == (0, f"{ONE_LINE}\n")
    dense = lightprune.load(file, constructor=small_network)
    with torch.inference_mode():
        expected = dense(torch.ones(1, 3, 8, 8)).flatten()
    logits, missed = done.stdout.splitlines()
    actual = torch.tensor([float(x) for x in logits.split()])
    assert torch.allclose(actual, expected, atol=1e-4)
    assert int(missed) > 0

    cache = {"NUMBA_CACHE_DIR": str(installation / "filled")}
    filled = process(installation, "-m", "lightprune", "warmup", file, PYTHONPATH=package, **cache)
    assert (filled.returncode, filled.stderr) == (0, "")
    assert filled.stdout.startswith(f"compiled code is kept in {installation}/filled/")
    again = process(installation, *call, **cache)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.splitlines()[1] == "0"


@pytest.fixture
def function_file(tmp_path, monkeypatch, caplog):
    """A module of one compiled function, whose code can be kept in `home` alone."""
    monkeypatch.setattr(code_cache, "_warn", code_cache._warn.__wrapped__)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(config, "CACHE_DIR", "")
    (tmp_path / "home").mkdir()
    (tmp_path / "source").mkdir()
    file = tmp_path / "source" / "functions.py"
    file.write_text(FUNCTION)
    with obeyed_permissions(), read_only(file.parent):
        yield file
    assert not file.with_name("__pycache__").exists()


@contextmanager
def read_only(folder):
    """All folders below it, until the block ends."""
    folders = [Path(path) for path, _, _ in os.walk(folder)]
    for path in folders:
        path.chmod(0o555)
    yield
    for path in folders:
        path.chmod(0o755)


def test_a_home_that_may_not_be_written_is_no_place(function_file, tmp_path, caplog):
    with read_only(tmp_path / "home"):
        assert hits(loaded(function_file).plus_one) == 0

    assert caplog.messages == [ONE_LINE]


def test_no_home_is_no_place(function_file, monkeypatch, caplog):
    monkeypatch.setenv("HOME", "~")

    assert hits(loaded(function_file).plus_one) == 0
    assert caplog.messages == [ONE_LINE]


def test_a_folder_of_the_user_that_may_not_be_written_is_named(
    function_file, tmp_path, caplog, monkeypatch
):
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "theirs"))
    (tmp_path / "theirs").mkdir(mode=0o555)

    assert [hits(loaded(function_file).plus_one) for _ in range(2)] == [0, 1]
    first, second = caplog.messages
    assert first == second
    assert first.startswith(f"warning: NUMBA_CACHE_DIR={tmp_path}/theirs: may not be written to; ")


@pytest.mark.parametrize("variable", ["", "theirs"])
def test_code_is_taken_from_a_folder_that_may_not_be_written(
    function_file, tmp_path, caplog, monkeypatch, variable
):
    filled = tmp_path / (variable or "home")
    monkeypatch.setattr(config, "CACHE_DIR", variable and str(filled))
    assert hits(loaded(function_file).plus_one) == 0

    with read_only(filled):
        assert hits(loaded(function_file).plus_one) == 1

    monkeypatch.setattr(code_cache, "_STAMP", "other files")
    with read_only(filled):
        assert hits(loaded(function_file).plus_one) == 0
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("damage", ["cut", "of another user"])
def test_code_that_cannot_be_read_is_compiled_again(function_file, tmp_path, caplog, damage):
    assert hits(loaded(function_file).plus_one) == 0
    for index in (tmp_path / "home").rglob("*.nbi"):
        index.write_bytes(b"")
        index.chmod(0 if damage == "of another user" else 0o644)

    assert [hits(loaded(function_file).plus_one) for _ in range(2)] == [0, 1]
    assert caplog.messages == []


def test_a_cache_that_becomes_read_only_is_done_without(function_file, tmp_path, caplog):
    function = loaded(function_file).plus_one

    with read_only(tmp_path / "home"):
        assert hits(function) == 0

    (line,) = caplog.messages
    assert "(Permission denied); every process compiles it again; NUMBA_CACHE_DIR=DIR" in line
