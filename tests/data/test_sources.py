import os
import pickle
import socket
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10

from lightprune.data.digits import Digits
from lightprune.data.images import load_cache
from lightprune.data.sources import Cifar10, Source, visible_files
from lightprune.errors import InputError
from tests.training.small import labelled


@dataclass(frozen=True, kw_only=True)
class Counting(Source):
    """A source that counts how often it decodes."""

    validation: int | float | str = 40
    name: str = "first"
    decoded: list = field(default_factory=list, compare=False)

    def files(self):
        return []

    def decode(self, files):
        self.decoded.append(self.name)
        return labelled()


def test_data_is_decoded_once_and_then_read_from_the_cache(tmp_path):
    source = Counting(cache_dir=str(tmp_path))

    first, second = source.load(), source.load()

    assert source.decoded == ["first"]
    assert first[1] == second[1] == labelled().fingerprint()
    assert torch.equal(first[0].train.images, second[0].train.images)


def test_another_setting_of_the_class_has_a_cache_file_of_its_own(tmp_path):
    Counting(cache_dir=str(tmp_path)).load()
    other = Counting(cache_dir=str(tmp_path), name="second")
    other.load()

    assert other.decoded == ["second"]
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_the_validation_set_is_split_off_the_training_images():
    data = labelled()

    for validation, count in ((40, 40), (0.25, 34)):
        rest, chosen = Counting(validation=validation).splits(data)
        assert (len(rest), len(chosen)) == (136 - count, count)


def test_validation_on_the_test_set_leaves_the_training_images_whole():
    data = labelled()

    assert Counting(validation="test").splits(data) == (data.train, data.test)


def test_without_validation_the_training_images_are_whole_and_no_other_is_looked_at():
    train, validation = Counting(validation="none").splits(data := labelled())

    assert train == data.train
    assert len(validation) == 0


@pytest.mark.parametrize("validation", [40, 0.25, "test", "none"])
def test_validation_images_of_the_user_are_taken_and_no_setting_is_ignored(validation):
    data = replace(labelled(), validation=labelled().test)

    assert Counting(validation=None).splits(data) == (data.train, data.validation)
    with pytest.raises(InputError, match=rf"data.validation={validation}: the data have \d+ val"):
        Counting(validation=validation).splits(data)


def test_a_share_that_rounds_to_no_image_does_not_validate_on_the_test_set():
    with pytest.raises(InputError, match=r"data.validation=0\.001"):
        Counting(validation=0.001).splits(labelled())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"validation": 0}, "data.validation=0: allowed is an integer at least 1"),
        ({"validation": -5}, "data.validation=-5: allowed is an integer at least 1"),
        ({"validation": 1.0}, r"data.validation=1.0: allowed is a number in \(0, 1\)"),
        ({"validation": 0.0}, r"data.validation=0.0: allowed is a number in \(0, 1\)"),
        (
            {"validation": "tests"},
            "data.validation=tests: allowed are a count, a share, test, none, or null",
        ),
        ({"validation": True}, "data.validation=True"),
        ({"mean": (0.5, 0.5)}, r"data.mean=\(0.5, 0.5\): allowed are three numbers"),
        ({"mean": "abc"}, "data.mean=abc: allowed are three numbers"),
        ({"mean": 0.5}, "data.mean=0.5: allowed are three numbers"),
        ({"std": (0.2, 0.0, 0.2)}, "data.std=0.0: allowed is a number above 0"),
        ({"std": (0.2, float("nan"), 0.2)}, "data.std=nan: allowed is a number above 0"),
    ],
    ids=str,
)
def test_a_bad_setting_is_refused_with_what_is_allowed(settings, message):
    with pytest.raises(InputError, match=message):
        Counting(**settings)


@pytest.mark.parametrize("size", [7, 0, 32.0, 1025])
def test_digits_of_a_bad_size_are_refused(size):
    with pytest.raises(InputError, match=rf"data.size={size}: allowed is an integer in \[8, 1024"):
        Digits(size=size)


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("offline")
def test_the_digits_need_no_network_and_have_ten_classes(tmp_path):
    data, fingerprint = Digits(cache_dir=str(tmp_path)).load()

    assert data.classes == tuple("0123456789")
    assert data.train.images.shape == (1400, 32, 32, 3)
    assert data.test.images.shape == (397, 32, 32, 3)
    assert data.train.images.dtype == torch.uint8
    for part in (data.train, data.test):
        assert part.labels.unique().tolist() == list(range(10))
    assert fingerprint == data.fingerprint()


def test_digits_of_their_own_size_are_the_embedded_ones_at_full_contrast():
    data = Digits(size=8).decode([])
    embedded = load_digits()
    expected = {
        (np.round(image * 255 / 16).astype(np.uint8).tobytes(), label)
        for image, label in zip(embedded.images, embedded.target.tolist(), strict=True)
    }

    found = {
        (image[..., 0].numpy().tobytes(), label)
        for part in (data.train, data.test)
        for image, label in zip(part.images, part.labels.tolist(), strict=True)
    }

    assert found == expected
    assert torch.equal(data.train.images[..., 0], data.train.images[..., 2])


def test_the_digits_always_split_the_same_way():
    assert Digits(size=8).decode([]).fingerprint() == Digits(size=8).decode([]).fingerprint()


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("there", ["nothing", "folder", "rubble"])
def test_cifar10_that_is_not_there_is_refused_with_the_three_ways_to_get_it(tmp_path, there):
    root = tmp_path / "data"
    if there != "nothing":
        (root / "cifar-10-batches-py").mkdir(parents=True)
    if there == "rubble":
        (root / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"\x80")
    source = Cifar10(root=str(root), download=False, cache_dir=str(tmp_path / "cache"))

    with pytest.raises(InputError) as caught:
        source.load()

    message = str(caught.value)
    assert message.startswith(f"data.root={root}: holds no intact CIFAR-10 archive")
    assert "data.download=true" in message
    assert "cifar-10-python.tar.gz" in message
    assert "data=images data.root=DIR" in message
    assert "\n" not in message
    assert not list((tmp_path / "cache").glob("*.safetensors"))


@pytest.fixture
def archive(tmp_path):
    """A folder that holds the archive's batches, of two images each."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in [*CIFAR10.train_list, *CIFAR10.test_list]:
        write_batch(folder / name[0], seed=0)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": ["ape", "bee"]}))
    return folder


def write_batch(file, seed):
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 3072), np.uint8)
    file.write_bytes(pickle.dumps({"data": pixels, "labels": [0, 1]}))
    os.utime(file, (1e9, 1e9))


@pytest.mark.parametrize("file", ["data_batch_1", "data_batch_5", "test_batch"])
def test_a_batch_of_cifar10_exchanged_under_the_same_size_and_time_is_read_again(
    archive, monkeypatch, file
):
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    source = Cifar10(root=str(archive.parent), cache_dir=str(archive.parent / "cache"))
    before, size = source.load()[1], (archive / file).stat().st_size
    write_batch(archive / file, seed=1)

    assert (archive / file).stat().st_size == size
    data, fingerprint = source.load()
    assert fingerprint != before
    assert fingerprint == data.fingerprint()


def test_what_a_first_start_downloads_is_in_the_cache_for_the_next(archive, monkeypatch):
    away = archive.rename(archive.parent / "away")
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    monkeypatch.setattr(CIFAR10, "download", lambda self: away.exists() and away.rename(archive))
    source = Cifar10(root=str(archive.parent), cache_dir=str(archive.parent / "cache"))
    expected = source.load()[1]
    monkeypatch.setattr(Cifar10, "decode", None)

    assert source.load()[1] == expected


def test_hidden_files_are_not_visible(tmp_path):
    for name in ("a.png", ".DS_Store", ".b.png"):
        (tmp_path / name).touch()

    assert [file.name for file in visible_files(tmp_path)] == ["a.png"]
    assert visible_files(tmp_path / "none") == []


def test_a_lock_does_not_outlive_a_source_that_cannot_decode(tmp_path):
    source = Cifar10(root=str(tmp_path / "none"), download=False, cache_dir=str(tmp_path))
    for _ in range(2):
        with pytest.raises(InputError):
            source.load()

    assert load_cache(tmp_path / "cifar10.safetensors") is None
