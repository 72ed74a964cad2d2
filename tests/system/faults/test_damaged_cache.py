"""A damaged file in the caches is noticed: what it held is made again, and is the same."""

import json
import shutil

import pytest

from lightprune.data.images import load_cache
from tests.system.bad_input.damage import halve, write
from tests.system.entry import record, shortest

# So little that no layer is emptied, which would be a warning of its own.
OVERRIDES = shortest("schedule.sparsity=0.5")


@pytest.fixture(scope="module")
def finished(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    assert server.train(folder, *OVERRIDES).returncode == 0
    return folder


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


def forget(path):
    about = json.loads(path.read_text())
    del about["test_images"]
    path.write_text(json.dumps(about))


def remove(path):
    path.unlink()


def again(server, finished, tmp_path, name, damage):
    """A new run on a copy of the caches, of which one file is damaged."""
    shutil.copytree(finished / "dense", tmp_path / "dense")
    shutil.copytree(finished / "data", tmp_path / "data")
    (file,) = tmp_path.glob(name)
    damage(file)
    done = server.train(tmp_path, *OVERRIDES)
    assert (done.returncode, done.stderr) == (0, "")
    for part in ("test", "dense", "events"):
        assert record(tmp_path / "run")[part] == record(finished / "run")[part]
    return file, done.stdout


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("dense.json", halve),
        pytest.param("dense.json", write(b""), marks=pytest.mark.long),
        pytest.param("dense.json", write(b"[1]"), marks=pytest.mark.long),
        pytest.param("dense.json", forget, marks=pytest.mark.long),
        pytest.param("model.safetensors", halve, marks=pytest.mark.long),
        ("model.safetensors", flip_a_bit),
        pytest.param("model.safetensors", remove, marks=pytest.mark.long),
    ],
)
def test_a_damaged_dense_network_is_named_and_trained_again(
    server, finished, tmp_path, name, damage
):
    file, stdout = again(server, finished, tmp_path, f"dense/*/{name}", damage)

    warnings = [line for line in stdout.splitlines() if line.startswith("warning")]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"warning: {file}: is damaged")
    assert warnings[0].endswith("the network is trained again")
    shutil.rmtree(tmp_path / "run")
    assert "warning" not in server.train(tmp_path, *OVERRIDES).stdout


@pytest.mark.parametrize("damage", [halve, flip_a_bit, remove])
def test_damaged_decoded_images_are_decoded_again(server, finished, tmp_path, damage):
    file, _ = again(server, finished, tmp_path, "data/*.safetensors", damage)

    images, fingerprint = load_cache(file)
    assert fingerprint == record(finished / "run")["data"]["fingerprint"]
    assert images.fingerprint() == fingerprint


@pytest.mark.parametrize("name", ["dense/*/dense.json", "dense/*/model.*", "data/*.safetensors"])
def test_a_file_of_the_caches_that_may_not_be_read_is_named_before_the_plan(
    server, finished, tmp_path, name
):
    shutil.copytree(finished / "dense", tmp_path / "dense")
    shutil.copytree(finished / "data", tmp_path / "data")
    (file,) = tmp_path.glob(name)
    file.chmod(0)

    done = server.train(tmp_path, *OVERRIDES)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {file}: may not be read (Permission denied); allowed is a file that you may read\n"
    )
