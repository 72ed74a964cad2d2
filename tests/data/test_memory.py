"""Images that do not fit into memory are refused in one line, before or while they are loaded."""

import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightprune.data.image_folder import ImageFolder
from lightprune.data.memory import available_memory, enough_memory
from lightprune.data.sources import Digits
from lightprune.errors import InputError

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


@contextmanager
def address_space_left(size):
    """Lets this process allocate `size` more bytes, as `ulimit -v` does."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_a_limit_of_the_process_counts():
    with address_space_left(1 << 28):
        assert 0 < available_memory() <= 1 << 28


def test_images_too_large_for_memory_are_refused_before_they_are_decoded(tmp_path):
    source = Digits(size=1024, cache_dir=str(tmp_path))

    with (
        address_space_left(1 << 29),
        pytest.raises(InputError, match=r"data\.size=1024: the images take 11\.3 GB .*available"),
    ):
        source.load()
    assert not list(tmp_path.iterdir())


def test_folders_of_images_are_measured_by_their_files(tmp_path):
    for split in ("train", "test"):
        for number in range(3):
            file = tmp_path / split / "dog" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8)).save(file)
    source = ImageFolder(root=str(tmp_path), size=16, cache_dir=str(tmp_path / "cache"))

    assert source.decoded_bytes() == sum(
        part.images.nbytes for part in (source.decode().train, source.decode().test)
    )


@pytest.mark.parametrize(
    "allocate", [lambda: np.ones(1 << 33, np.uint8), lambda: torch.ones(1 << 33)]
)
def test_memory_that_runs_out_while_loading_is_one_line_that_names_the_setting(allocate):
    with (
        address_space_left(1 << 28),
        pytest.raises(InputError, match=r"data\.size=64: memory runs out .*llocate") as caught,
        enough_memory("data.size=64"),
    ):
        allocate()
    assert "\n" not in str(caught.value)


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="another"), enough_memory("data.size=64"):
        raise RuntimeError("another")


def test_what_is_estimated_is_what_the_digits_take(tmp_path):
    source = Digits(size=8, cache_dir=str(tmp_path))
    data, _ = source.load()

    assert source.decoded_bytes() == data.train.images.nbytes + data.test.images.nbytes
