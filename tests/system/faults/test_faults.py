"""Faults other than kills: damaged checkpoints, foreign ones, another world size, a full disk."""

import json
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from lightprune.training.checkpoints import LAST, PREVIOUS
from tests.system.bad_input.damage import class_folders
from tests.system.entry import ROOT, environment, small
from tests.system.run_digests import run_digests

OVERRIDES = small("schedule.steps=2", "schedule.sparsity=0.9", "trainer=cpu")


@pytest.fixture(scope="module")
def untouched(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("untouched")
    done = server.train(folder, *OVERRIDES)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def unfinished(untouched, tmp_path):
    """The run as it is when it is killed after its last epoch."""
    shutil.copytree(untouched, tmp_path, dirs_exist_ok=True)
    for name in ("run.json", "model.safetensors", "layers.csv"):
        (tmp_path / "run" / name).unlink()
    return tmp_path


def flip(file, place):
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1
    file.write_bytes(content)


def cut(file, share):
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])


@pytest.mark.parametrize(
    ("damage", "where"),
    [
        (flip, 0.4),
        pytest.param(flip, 0.999, marks=pytest.mark.long),
        (cut, 0.6),
        pytest.param(cut, 0.0, marks=pytest.mark.long),
    ],
)
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_it_continues(
    server, untouched, unfinished, damage, where
):
    last = unfinished / "run" / "checkpoints" / LAST
    damage(last, where)
    done = server.train(unfinished, *OVERRIDES)

    assert done.returncode == 0, done.stderr
    assert "last.damaged: its checksum does not match its content; continuing from" in done.stdout
    assert "finetune epoch 3/4" not in done.stdout
    assert "finetune epoch 4/4" in done.stdout
    assert run_digests(unfinished) == run_digests(untouched)


def test_without_an_intact_checkpoint_the_phase_starts_afresh(server, untouched, unfinished):
    for name in (LAST, PREVIOUS):
        flip(unfinished / "run" / "checkpoints" / name, 0.5)
    done = server.train(unfinished, *OVERRIDES)

    assert done.returncode == 0, done.stderr
    assert done.stdout.count("starting the phase afresh") == 2
    assert "dense epoch" not in done.stdout
    assert run_digests(unfinished) == run_digests(untouched)


@pytest.mark.long
def test_a_checkpoint_of_a_run_with_another_seed_is_refused(server, unfinished):
    other = unfinished / "other"
    other.mkdir()
    weights = next((unfinished / "dense").glob("*/model.safetensors"))
    overrides = (*OVERRIDES, f"dense.checkpoint={weights}", "seed=1")
    server.train(other, *overrides)
    (other / "run" / "run.json").unlink()
    shutil.copy(unfinished / "run" / "checkpoints" / LAST, other / "run" / "checkpoints" / LAST)
    done = server.train(other, *overrides)

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: checkpoint: is of a run with dense_weights=None, this one has")


def test_an_image_that_has_changed_since_is_refused_by_both_fingerprints(server, tmp_path):
    pictures = class_folders(tmp_path / "images", 12)
    overrides = (
        *OVERRIDES,
        "data=images",
        f"data.root={pictures}",
        "data.validation=4",
        "recipe.dense.epochs=0",
        "recipe.finetune.batch_size=10",
    )
    done = server.train(tmp_path, *overrides)
    picture = next((pictures / "train").glob("*/*.png"))
    Image.new("RGB", (32, 32), (1, 2, 3)).save(picture)
    again = server.train(tmp_path, *overrides)

    assert done.returncode == 0, done.stderr
    assert again.returncode == 1
    assert "holds a run with fingerprint=" in again.stderr
    assert ", this one has " in again.stderr


@pytest.mark.long
def test_a_kill_while_force_clears_the_folder_leaves_it_usable(server, unfinished):
    (unfinished / "run" / "metrics.csv").unlink()
    done = server.train(unfinished, *OVERRIDES, "force=true")

    assert done.returncode == 0, done.stderr
    assert "finetune epoch 1/4" in done.stdout


def test_another_number_of_processes_is_refused_by_both_values(server, unfinished):
    done = server.train(unfinished, *OVERRIDES[:-1], "trainer=ddp_cpu")

    assert done.returncode == 1
    assert "holds a run with trainer.devices=1, this one has 2" in done.stderr


@pytest.mark.long
def test_a_disk_that_fills_costs_nothing_that_was_saved(untouched, tmp_path):
    unshared = ["unshare", "-Urm", "--", sys.executable, "-m", "tests.system.faults.full_disk"]
    if shutil.which("unshare") is None or subprocess.run([*unshared[:4], "-c", ""]).returncode:
        pytest.skip("needs a mount namespace of its own")
    done = subprocess.run(
        [*unshared, str(tmp_path), str(untouched / "data"), *OVERRIDES],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)

    assert "run: 0.0 MB are free; allowed are at least 1.0 MB" in outcome["refused"]
    assert outcome["status"] == 1
    (line,) = [each for each in outcome["complaint"].splitlines() if each.startswith("error: ")]
    assert "cannot be written" in line
    assert "the old one is kept" in line
    assert (outcome["intact"], outcome["partials"], outcome["wrong"]) == (True, [], [])
    assert outcome["finished"] == 0
    assert not any("finetune epoch 1/" in each for each in outcome["again"])
