"""The wheel, installed into an empty environment, trains from any working directory."""

import shutil
import subprocess
import sys
import sysconfig

import pytest

from tests.system.entry import ROOT, environment, record

pytestmark = pytest.mark.long

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")


def call(*words, **settings):
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, **settings)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The `lightprune` program of an environment that holds the wheel, and what it depends on."""
    folder = tmp_path_factory.mktemp("wheel")
    source, wheels, empty = (folder / name for name in ("source", "wheels", "environment"))
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("src", "configs"):
        unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=unwanted)
    offline = ("--no-deps", "--no-index")
    call(*PIP, "wheel", *offline, "--no-build-isolation", "-w", wheels, source)
    call(sys.executable, "-m", "venv", "--without-pip", empty)
    (wheel,) = wheels.glob("lightprune-*.whl")
    call(*PIP, "--python", empty / "bin" / "python", "install", *offline, wheel)
    # The dependencies: a folder on the path, whose own .pth files (this checkout) are not read.
    (packages,) = empty.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return empty / "bin" / "lightprune"


def train(program, place, *words):
    variables = {key: value for key, value in environment().items() if key != "PYTHONPATH"}
    return call(program, "train", *words, cwd=place, env=variables)


def test_it_holds_every_config_of_the_checkout(installed):
    (package,) = installed.parents[1].glob("lib/python*/site-packages/lightprune")
    configs = {file.relative_to(ROOT) for file in (ROOT / "configs").rglob("*.yaml")}

    assert {file.relative_to(package) for file in package.rglob("*.yaml")} == configs


def test_it_trains_in_one_process_and_in_two(installed, tmp_path):
    words = ("data=digits", "recipe=smoke", "model=resnet20", "logger=none", "schedule=one_shot")
    short = ("recipe.dense.epochs=1", "recipe.finetune.epochs=1")
    train(installed, tmp_path, *words, *short, "trainer=cpu", "name=one")
    train(installed, tmp_path, *words, *short, "trainer=ddp_cpu", "name=two")

    one, two = (record(tmp_path / "outputs" / "runs" / name) for name in ("one", "two"))
    assert (one["hardware"]["processes"], two["hardware"]["processes"]) == (1, 2)
    assert one["cost"]["nnz"] == two["cost"]["nnz"] > 0
    assert two["command"].startswith("lightprune train data=digits recipe=smoke ")
    assert [file.name for file in tmp_path.iterdir()] == ["outputs"]


def test_it_trains_the_demo(installed, tmp_path):
    """The demo's own configuration and network; its epochs, which take minutes, are cut short."""
    short = ("recipe.dense.epochs=1", "recipe.finetune.epochs=2", "schedule.steps=2")
    words = ("experiment=demo", *short, "trainer.limit_batches=1", "name=demo")
    shown = train(installed, tmp_path, *words, "pruner=global", "schedule=multi_step")
    finished = record(tmp_path / "outputs" / "runs" / "demo")

    assert "folder   outputs/runs/demo\n" in shown
    assert shown.rstrip().endswith(
        "lightprune bench last --batches 1,64 --backends eager,onnx,sparse"
    )
    assert finished["cost"]["weights"] - finished["cost"]["nnz"] == 10_943_574
    assert [event["epoch"] for event in finished["events"]] == [0, 1]
    assert finished["config"]["recipe"]["dense"]["learning_rate"]["peak"] == 0.1
    assert finished["test"]["images"] == 397
