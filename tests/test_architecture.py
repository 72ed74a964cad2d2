"""The layers of the package: who may import whom."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "lightprune"
FILES = sorted(SOURCE.rglob("*.py"))

# From the bottom up: a module imports its own layer and those below it.
LAYERS = (
    ("errors", "files", "randomness", "identity", "stopping", "agent", "provenance", "predictions"),
    ("pruning",),
    ("training",),
    ("run_folder", "own_weights", "cache", "rewinding", "dense", "crossing", "config"),
    ("prepare", "door", "worker"),
    ("console", "record"),
    ("experiment",),
    ("report", "sparse", "sensitivity", "beginning", "semi_structured"),
    ("filters",),
    ("options",),
    ("cli",),
    ("__main__",),
    ("launch",),
)
# What only some places may know.
RESERVED = {
    "lightning": ("training", "config"),
    "hydra": ("config", "door"),
    "omegaconf": ("config", "door", "experiment", "launch"),
    "sklearn": ("training",),
    "matplotlib": ("report",),
    "numba": ("sparse",),
    "scipy": ("report",),
    "torch_pruning": ("filters",),
}


def name(file):
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(file):
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(module):
    return next(i for i, names in enumerate(LAYERS) if module in names)


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_nothing_imports_upwards(file):
    if file.name == "__init__.py":
        return
    own = [m.split(".")[1] for m in imports(file) if m.startswith("lightprune.")]

    assert all(layer(module) <= layer(name(file)) for module in own)


@pytest.mark.parametrize("package", RESERVED)
def test_a_library_is_known_only_where_it_belongs(package):
    users = {name(f) for f in FILES if any(m.split(".")[0] == package for m in imports(f))}

    assert users <= set(RESERVED[package])


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(SOURCE)))
def test_every_file_says_its_job_and_stays_readable(file):
    text = file.read_text()
    job = ast.get_docstring(ast.parse(text))

    assert job
    assert len(job.splitlines()[0]) <= 100
    assert len(text.splitlines()) <= 250


def test_the_door_is_short():
    assert len((SOURCE.parents[1] / "train.py").read_text().splitlines()) <= 40
