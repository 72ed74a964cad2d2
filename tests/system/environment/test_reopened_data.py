"""Finished runs whose data `bench` and `sensitivity` find again, wherever these are started."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from lightprune.bench.evaluation_images import find_evaluation_images
from lightprune.export.loaded_network import load_network
from lightprune.runs.folder import RunFolder
from lightprune.sensitivity.calibration_data import SampleSize
from lightprune.sensitivity.loaded_run import NetworkChoice, load_run
from tests.system.entry import ROOT, shortest
from tests.system.tiny import tiny_resnet

NAME = "two birds, 1=2"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Class folders in a folder whose name Hydra's grammar and shells split."""
    root = tmp_path_factory.mktemp("images") / NAME
    generator = np.random.default_rng(0)
    for part, name, number in np.ndindex(2, 2, 20):
        folder = root / ("train", "test")[part] / ("jay", "tit")[name]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = generator.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return root


@pytest.mark.parametrize("given", ["typed", "by a file"])
def test_the_data_of_a_run_is_found_again(images, server, tmp_path, monkeypatch, given):
    words = ["data=images", f"data.root='{os.path.relpath(images, ROOT)}'"]
    if given == "by a file":
        (tmp_path / "own" / "data").mkdir(parents=True)
        (tmp_path / "own" / "data" / "mine.yaml").write_text(f"defaults: [images]\nroot: {images}")
        words = [f"--config-dir={tmp_path / 'own'}", "data=mine", "hydra.job.chdir=true"]
    sizes = [f"recipe.{phase}.batch_size=8" for phase in ("dense", "finetune")]
    settings = [word for word in shortest(*sizes) if word != "data=digits"]
    done = server.train(tmp_path, *settings, *words)
    assert done.returncode == 0, done.stderr
    run, elsewhere = tmp_path / "run", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)

    found, random_because = find_evaluation_images(load_network(run, tiny_resnet), None)
    scanned = load_run(run, NetworkChoice(constructor=tiny_resnet), SampleSize(batches=1))

    assert random_because is None
    assert found.origin == "test images"
    assert found.images.shape == (40, 32, 32, 3)
    assert len(scanned.validation) == 1
    assert RunFolder(run).finished().data.input_shape == (3, 32, 32)
    assert not list(elsewhere.iterdir())


@pytest.mark.long
def test_the_same_command_shows_the_finished_run(images, tmp_path):
    """In the folder that the config names, though the data tell the size of the validation set."""
    sizes = [f"recipe.{phase}.batch_size=8" for phase in ("dense", "finetune")]
    settings = [w for w in shortest(*sizes) if not w.startswith(("data=", "data.validation="))]
    command = [sys.executable, str(ROOT / "train.py"), *settings, "data=images"]
    for words in ((), ("force=false",)):
        done = subprocess.run(
            [*command, f"data.root='{images}'", *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "outputs" / "runs").iterdir()

    assert RunFolder(folder).finished().data.train_images == 36
    assert "test accuracy" in done.stdout
    assert "epoch" not in done.stdout.partition("test accuracy")[0]
