"""No file that the program reads can make it run code: armed ones in every place there is."""

import json
import os
import pickle
import shutil

import pytest
import torch
import yaml

from lightprune.training.checkpoints import SealedCheckpointIO
from tests.system.bad_input.damage import class_folders
from tests.system.entry import shortest


class Armed:
    """Makes a folder when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def as_pickle(file, marker):
    file.write_bytes(pickle.dumps(Armed(marker)))


def as_archive(file, marker):
    torch.save({"state_dict": Armed(marker)}, file)


def as_checkpoint(file, marker):
    SealedCheckpointIO().save_checkpoint({"state_dict": Armed(marker)}, file)


def as_yaml(file, marker):
    file.write_text(f"seed: !!python/object/apply:os.mkdir ['{marker}']\n")


@pytest.mark.parametrize(
    ("arm", "careless"),
    [
        (as_pickle, lambda file: pickle.loads(file.read_bytes())),
        (as_archive, lambda file: torch.load(file, weights_only=False)),
        (as_checkpoint, lambda file: torch.load(file, weights_only=False)),
        (as_yaml, lambda file: yaml.unsafe_load(file.read_text())),
    ],
)
def test_the_armed_files_of_these_tests_do_run_code_in_a_careless_reader(tmp_path, arm, careless):
    arm(tmp_path / "file", tmp_path / "marker")

    careless(tmp_path / "file")

    assert (tmp_path / "marker").exists()


# A finished run's folder: what is armed, how, and what is removed so that it is read.
RESUMED = ["run/run.json"]
NO_RUN = ["run"]
UNTRAINED = ["run", "dense/*/dense.json"]
IN_A_RUN = {
    "last checkpoint": ("run/checkpoints/last.ckpt", as_checkpoint, RESUMED),
    "last checkpoint, unsealed": ("run/checkpoints/last.ckpt", as_archive, RESUMED),
    "last checkpoint, a bare pickle": ("run/checkpoints/last.ckpt", as_pickle, RESUMED),
    "every checkpoint": ("run/checkpoints/*", as_checkpoint, RESUMED),
    "every checkpoint, unsealed": ("run/checkpoints/*", as_archive, RESUMED),
    "the network": ("run/model.safetensors", as_pickle, []),
    "run.json": ("run/run.json", as_pickle, []),
    "run.json as YAML": ("run/run.json", as_yaml, []),
    "config.yaml": ("run/config.yaml", as_yaml, []),
    "config.yaml of an unfinished run": ("run/config.yaml", as_yaml, RESUMED),
    "dense network": ("dense/*/model.safetensors", as_pickle, NO_RUN),
    "dense network, an archive": ("dense/*/model.safetensors", as_archive, NO_RUN),
    "dense record": ("dense/*/dense.json", as_pickle, NO_RUN),
    "dense record as YAML": ("dense/*/dense.json", as_yaml, NO_RUN),
    "last dense checkpoint": ("dense/*/checkpoints/last.ckpt", as_checkpoint, UNTRAINED),
    "every dense checkpoint": ("dense/*/checkpoints/*", as_checkpoint, UNTRAINED),
    "every dense checkpoint, unsealed": ("dense/*/checkpoints/*", as_archive, UNTRAINED),
    "decoded images": ("data/*.safetensors", as_pickle, NO_RUN),
    "decoded images, an archive": ("data/*.safetensors", as_archive, NO_RUN),
}


# A file of each kind; the others are read by the same functions.
QUICK = ("last checkpoint", "the network", "run.json", "config.yaml", "dense network")


@pytest.fixture(scope="module")
def finished(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    assert server.train(folder, *shortest()).returncode == 0
    return folder


def runs_no_code(server, folder, *overrides):
    """Checks that the program goes on, or ends with a line, and does nothing else."""
    done = server.train(folder, *overrides)

    assert not (folder / "marker").exists()
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
    return done


@pytest.mark.parametrize(
    "place",
    [
        place if place in QUICK else pytest.param(place, marks=pytest.mark.long)
        for place in IN_A_RUN
    ],
)
def test_no_file_of_a_run_or_a_cache_runs_code(server, finished, tmp_path, place):
    pattern, arm, removed = IN_A_RUN[place]
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    armed = list(tmp_path.glob(pattern))
    for file in armed:
        arm(file, tmp_path / "marker")
    for name in removed:
        for path in tmp_path.glob(name):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    done = runs_no_code(server, tmp_path, *shortest())

    assert armed
    if not done.returncode:
        assert json.loads((tmp_path / "run" / "run.json").read_text())["test"]["images"] == 397


@pytest.mark.parametrize("arm", [as_pickle, as_archive])
@pytest.mark.parametrize("name", ["own.pt", "own.ckpt", "own.safetensors"])
def test_no_dense_checkpoint_of_the_user_runs_code(server, tmp_path, name, arm):
    arm(tmp_path / name, tmp_path / "marker")

    done = runs_no_code(server, tmp_path, *shortest(f"dense.checkpoint={tmp_path / name}"))

    assert done.returncode == 1


def test_no_cifar10_batch_runs_code(server, tmp_path):
    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    for name in ("batches.meta", "test_batch", *(f"data_batch_{n}" for n in range(1, 6))):
        as_pickle(batches / name, tmp_path / "marker")
    _, *rest = shortest()
    archive = ("data=cifar10", "data.download=false", f"data.root={tmp_path}")

    done = runs_no_code(server, tmp_path, *archive, *rest)

    assert done.returncode == 1


@pytest.mark.parametrize("arm", [as_pickle, as_archive])
def test_no_image_runs_code(server, tmp_path, arm):
    root = class_folders(tmp_path / "images")
    arm(root / "train" / "dog" / "1.png", tmp_path / "marker")
    _, *rest = shortest()

    done = runs_no_code(server, tmp_path, "data=images", f"data.root={root}", *rest)

    assert done.returncode == 1


def test_no_config_runs_code(server, tmp_path):
    (tmp_path / "experiment").mkdir()
    as_yaml(tmp_path / "experiment" / "armed.yaml", tmp_path / "marker")

    done = runs_no_code(server, tmp_path, f"--config-dir={tmp_path}", *shortest("experiment=armed"))

    assert done.returncode == 1
