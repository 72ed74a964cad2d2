"""`lightprune warmup`: what it refuses; tests/sparse/jit/test_code_cache.py runs it."""

import pytest
from numba.core.caching import NullCache

from lightprune.cli.main import main
from lightprune.export.export_network import ExportConfig, export_network
from lightprune.export.loaded_network import load_network
from lightprune.sparse.runtime.work_sharing import execute
from tests.export.finished import finished_run, small_network


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a plain, a sparse and a damaged file."""
    run, _ = finished_run(tmp_path_factory.mktemp("warmup") / "run")
    config = ExportConfig(("safetensors", "sparse"))
    export_network(load_network(run, small_network), run.parent, config)
    (run.parent / "damaged.sparse.safetensors").write_bytes(b"damaged")
    return run.parent


def test_the_folder_of_the_code_is_named(files, capsys):
    assert main(["warmup", str(files / "model.sparse.safetensors")]) == 0
    assert capsys.readouterr().out.startswith("compiled code is kept in /")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.sparse.safetensors", "gone.sparse.safetensors: no such file"),
        ("damaged.sparse.safetensors", "damaged.sparse.safetensors: is damaged"),
        ("model.safetensors", "is no sparse file; allowed is a model.sparse.safetensors"),
    ],
)
def test_what_is_no_sparse_file_is_one_line(files, capsys, name, said):
    assert main(["warmup", str(files / name)]) == 1
    printed, errors = capsys.readouterr()
    assert printed == ""
    assert said in errors
    assert errors.count("\n") == 1


def test_code_that_is_kept_nowhere_is_an_error(files, capsys, monkeypatch):
    monkeypatch.setattr(execute, "_cache", NullCache())

    assert main(["warmup", str(files / "model.sparse.safetensors")]) == 1
    assert "its compiled code cannot be kept; allowed is NUMBA_CACHE_DIR=DIR" in (
        capsys.readouterr().err
    )
