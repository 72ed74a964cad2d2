"""The layers of the package: who may import whom."""

import ast
import re
from collections import Counter
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "lightprune"
FILES = sorted(SOURCE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

# From the bottom up: a package imports itself and those above it in this list.
LAYERS = (
    "errors",
    "files",
    "rng",
    "provenance",
    "distributed",
    "cores",
    "console_encoding",
    "garbage_collector",
    "rendering",
    "pruning",
    "sparse/isa",
    "sparse/ir",
    "sparse/jit",
    "sparse/kernels",
    "sparse/frontend",
    "sparse/passes",
    "sparse/codegen",
    "sparse/runtime",
    "data",
    "models",
    "runs",
    "callbacks",
    "training",
    "export",
    "structured",
    "sensitivity",
    "bench",
    "experiment",
    "launch",
    "report",
    "cli",
    "__main__",
)
# What only some packages may know.
RESERVED = {
    "lightning": ("data", "callbacks", "training", "experiment"),
    "hydra": ("experiment", "launch"),
    "omegaconf": ("experiment", "launch"),
    "sklearn": ("data",),
    "matplotlib": ("rendering", "report", "sensitivity", "bench"),
    "numba": ("sparse/isa", "sparse/jit", "sparse/kernels", "sparse/runtime", "bench"),
    "scipy": ("report", "sensitivity"),
    "torch_pruning": ("structured",),
}
# The compiler can be lifted out: it knows these and itself.
BELOW_SPARSE = {"errors", "files", "pruning"}


def package(parts):
    """`sparse/ir` of lightprune/sparse/ir/graph.py, `runs` of lightprune/runs/folder.py."""
    deep = 2 if parts[0] == "sparse" and len(parts) > 2 else 1
    return "/".join(parts[:deep]).removesuffix(".py")


def home(file):
    return package(file.relative_to(SOURCE).parts)


def imports(text, folder):
    """The dotted names of what a source file imports, or names in a string, as importlib needs it.

    `folder` is the dotted name of the package that the file lies in.
    """
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), folder)
            yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from re.findall(r"^lightprune(?:\.\w+)+$", node.value)


def imported_names(file):
    folder = ".".join(("lightprune", *file.parent.relative_to(SOURCE).parts))
    return imports(file.read_text(), folder)


def imported_packages(file):
    for name in imported_names(file):
        parts = name.split(".")
        if parts[0] == "lightprune" and len(parts) > 1:
            yield package(parts[1:])


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("from lightprune.data import images", "lightprune.data.images"),
        ("from . import images", "lightprune.data.images"),
        ("from ..runs import record", "lightprune.runs.record"),
        ("import_module('lightprune.runs')", "lightprune.runs"),
    ],
)
def test_every_way_to_import_is_seen(text, name):
    assert list(imports(text, "lightprune.data")) == [name]


def is_face(file):
    return file == SOURCE / "__init__.py"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_nothing_imports_upwards(file):
    if is_face(file):
        return
    mine = LAYERS.index(home(file)) if home(file) != "sparse" else LAYERS.index("sparse/runtime")

    assert all(LAYERS.index(other) <= mine for other in imported_packages(file))


@pytest.mark.parametrize("library", RESERVED)
def test_a_library_is_known_only_where_it_belongs(library):
    users = {home(f) for f in FILES if any(m.split(".")[0] == library for m in imported_names(f))}

    assert users <= set(RESERVED[library])


def test_the_compiler_knows_only_itself_and_what_lies_below():
    known = {p for f in FILES if home(f).startswith("sparse") for p in imported_packages(f)}

    assert {p for p in known if not p.startswith("sparse")} <= BELOW_SPARSE


def test_no_folder_holds_more_than_18_files():
    counts = Counter(file.parent for file in (*FILES, *TESTS))

    assert [folder for folder, count in counts.items() if count > 18] == []


def test_no_test_file_has_more_than_400_lines():
    tables = {"bad_values.py"}  # as long as there are lines that users meet

    assert [
        f for f in TESTS if f.name not in tables and len(f.read_text().splitlines()) > 400
    ] == []


def test_no_file_name_stands_twice():
    files = [file.name for file in FILES if file.name != "__init__.py"]

    assert [name for name, count in Counter(files).items() if count > 1] == []


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_every_file_says_its_job_and_stays_readable(file):
    text = file.read_text()
    job = ast.get_docstring(ast.parse(text))

    assert job
    assert len(job.splitlines()[0]) <= 100
    assert len(text.splitlines()) <= 250


def text_mode_opens(file):
    """Calls that read or write a text file and leave its encoding to the locale."""
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        given = [*map(ast.unparse, node.args), *(f"{k.arg}={k.value}" for k in node.keywords)]
        binary = any(re.fullmatch(r"'[rwxa+]*b[rwxa+]*'", argument) for argument in given)
        opens = called.rpartition(".")[2] in ("open", "read_text", "write_text")
        # The package's own `write_text` takes none: it is where the encoding stands.
        if not opens or binary or called in ("write_text", "Image.open", "os.open"):
            continue
        if not any("utf-8" in argument or "encoding=" in argument for argument in given):
            yield f"{called} in line {node.lineno}"


@pytest.mark.parametrize(
    "file",
    [*FILES, *(f for place in ("study", "benchmarks") for f in (ROOT / place).glob("*.py"))],
    ids=lambda f: str(f.relative_to(ROOT)),
)
def test_text_files_are_utf_8_whatever_the_locale(file):
    assert not list(text_mode_opens(file))


@pytest.mark.parametrize(
    ("call", "opened"),
    [
        ("open(x)", True),
        ("x.open('w', newline='')", True),
        ("x.read_text()", True),
        ("x.write_text(text)", True),
        ("x.open('rb', buffering=0)", False),
        ("x.read_text('utf-8')", False),
        ("x.open(encoding='utf-8')", False),
    ],
)
def test_an_encoding_that_is_left_to_the_locale_is_noticed(tmp_path, call, opened):
    (tmp_path / "a.py").write_text(call)

    assert bool(list(text_mode_opens(tmp_path / "a.py"))) == opened


def test_the_entry_point_is_short():
    assert len((SOURCE.parents[1] / "train.py").read_text().splitlines()) <= 40


def test_no_public_name_stands_twice():
    definitions = (node for file in FILES for node in ast.parse(file.read_text()).body)
    names = Counter(
        node.name for node in definitions if isinstance(node, ast.ClassDef | ast.FunctionDef)
    )

    # `main` is what two programs are started by.
    assert not [n for n, count in names.items() if count > 1 and n[0] != "_" and n != "main"]
