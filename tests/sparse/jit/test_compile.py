import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba import types

from lightprune.sparse.jit import code_cache
from lightprune.sparse.jit import compile as compiled
from tests.sparse.programs import images_for, network_of, residual_program

FUNCTION = """
from lightprune.sparse.jit.compile import jit_cached


@jit_cached
def plus_one(x):
    return x + 1


def plus_two(x):
    return x + 2
"""


def loaded(file):
    """The file as a module of its own, as another process would load it."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hits(function):
    """Calls a compiled function; tells how much of it was taken from disk."""
    assert function(3) == 4
    return sum(function.stats.cache_hits.values())


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "functions.py"
    path.write_text(FUNCTION)
    return path


def test_what_was_compiled_before_is_taken_from_disk(file):
    assert hits(loaded(file).plus_one) == 0
    assert hits(loaded(file).plus_one) == 1


def test_what_was_compiled_from_other_files_is_not(file, monkeypatch):
    assert hits(loaded(file).plus_one) == 0

    monkeypatch.setattr(code_cache, "_STAMP", "other files")

    assert hits(loaded(file).plus_one) == 0
    assert hits(loaded(file).plus_one) == 1


def test_code_that_is_called_by_its_address_is_taken_from_disk_too(file, monkeypatch):
    monkeypatch.setattr(compiled, "_compiled_functions", [])
    signature = types.int64(types.int64)

    for _ in range(2):
        assert compiled.compile_to_address(loaded(file).plus_two, signature) != 0
    first, second = compiled._compiled_functions

    assert (first.cache_hits, second.cache_hits) == (0, 1)
    assert second.ctypes(3) == 5


@pytest.mark.parametrize("place", ["jit/beside.py", "kernels/other.py", "above.py"])
def test_the_stamp_changes_with_any_file_of_the_compiler(tmp_path, place):
    for folder in ("jit", "kernels"):
        (tmp_path / folder).mkdir()
    copy = Path(shutil.copy(code_cache.__file__, tmp_path / "jit"))
    (tmp_path / place).write_text("x = 1\n")
    before = loaded(copy)._STAMP
    unchanged = loaded(copy)._STAMP

    (tmp_path / place).write_text("x = 2\n")

    changed = loaded(copy)._STAMP
    assert before == unchanged != changed


@pytest.mark.long
def test_another_process_compiles_nothing():
    program = residual_program()
    network_of(program, 2)(images_for(program, 3))

    script = Path(__file__).parent / "first_call.py"
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=True
    )

    assert json.loads(done.stdout) == {"misses": 0, "compiled": 0}
