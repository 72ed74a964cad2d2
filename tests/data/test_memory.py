"""Images that do not fit into memory are refused in one line, before or while they are loaded."""

import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightprune.data.digits import Digits
from lightprune.data.image_folder import ImageFolder
from lightprune.data.memory import available_memory, enough_memory, left_in_control_groups
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
        pytest.raises(InputError, match=r"data\.size=1024: the images take 10\.1 GB .*available"),
    ):
        source.load()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("parts", "validation", "copies"),
    [
        (("train", "test"), None, 2),
        (("train", "test"), 2, 2),
        (("train", "test"), "test", 1),
        (("train", "test", "val"), None, 1),
    ],
)
def test_folders_of_images_are_measured_by_their_files_and_by_what_is_split_off(
    tmp_path, parts, validation, copies
):
    for part in parts:
        for number in range(3):
            file = tmp_path / part / "dog" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8)).save(file)
    source = ImageFolder(root=str(tmp_path), size=16, validation=validation)
    data = source.decode(source.files())

    whole = sum(part.images.nbytes for part in data.parts.values())
    expected = whole + (copies - 1) * data.train.images.nbytes
    assert source.required_bytes(source.files()) == expected


def control_group(folder, **values):
    """A group's files, without those that are None."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


def test_limits_of_the_first_version_of_control_groups_count(tmp_path):
    memory = tmp_path / "memory"
    for group, limit in ((memory, 2**63 - 4096), (memory / "slurm" / "job_7", 1000)):
        control_group(
            group,
            memory__limit_in_bytes=limit,
            memory__usage_in_bytes=600,
            memory__stat="cache 9\ntotal_inactive_file 50\ntotal_active_file 30",
        )
    membership = "5:cpu,cpuacct:/slurm\n4:hugetlb,memory:/slurm/job_7\n0::/\n"

    assert list(left_in_control_groups(membership, tmp_path)) == [480, 2**63 - 4096 - 520]


def test_a_container_sees_its_own_group_at_the_top(tmp_path):
    control_group(
        tmp_path / "memory",
        memory__limit_in_bytes=1000,
        memory__usage_in_bytes=600,
        memory__stat="total_inactive_file 0",
    )

    assert list(left_in_control_groups("4:memory:/docker/0123\n", tmp_path)) == [400]


def test_limits_of_the_second_version_of_control_groups_count(tmp_path):
    job = {"memory__current": 600, "memory__stat": "inactive_file 50\nactive_file 30"}
    control_group(tmp_path / "job" / "step", memory__max="max", **job)
    control_group(tmp_path / "job", memory__max=1000, **job)

    assert list(left_in_control_groups("0::/job/step\n", tmp_path)) == [480]


@pytest.mark.parametrize("membership", ["", "1:name=systemd:/a\n", "4:memory:/a\n", "0::/../a\n"])
def test_groups_that_tell_nothing_limit_nothing(tmp_path, membership):
    assert list(left_in_control_groups(membership, tmp_path)) == []


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

    assert source.required_bytes([]) == 2 * data.train.images.nbytes + data.test.images.nbytes
