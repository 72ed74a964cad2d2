"""The cache of decoded images knows pictures by their contents, and reads only what changed."""

import os

import pytest

from lightprune.data import content_hashes, image_folder
from tests.data.conftest import decoded, picture, source


@pytest.fixture
def settled(monkeypatch):
    """Takes the pictures of a test for older than any clock is coarse."""
    monkeypatch.setattr(content_hashes, "_TICK", 0)


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "moved to another class"])
def test_an_added_removed_renamed_or_moved_file_is_decoded_again(root, change):
    before = source(root).load()[1]
    file = root / "train" / "cat" / "0.png"
    if change == "added":
        picture().save(file.with_name("9.png"))
    elif change == "removed":
        file.unlink()
    elif change == "renamed":
        file.rename(file.with_name("z.png"))
    else:
        file.rename(root / "train" / "dog" / "9.png")

    assert source(root).load()[1] != before


@pytest.mark.parametrize("exchange", ["written over", "another file", "two swapped", "by a link"])
@pytest.mark.parametrize("tick", [0, content_hashes._TICK])
def test_pictures_exchanged_under_the_same_name_size_and_time_are_decoded_again(
    root, exchange, tick, monkeypatch
):
    monkeypatch.setattr(content_hashes, "_TICK", tick)
    first, second = root / "train" / "cat" / "0.png", root / "train" / "cat" / "1.png"
    for file, seed in ((first, 1), (second, 2)):
        picture(seed=seed).save(file, "BMP")
        os.utime(file, (1e9, 1e9))
    before, sizes = source(root).load()[1], first.stat().st_size
    content, other = first.read_bytes(), second.read_bytes()
    if exchange == "written over":
        first.write_bytes(other)
    elif exchange == "another file":
        (root.parent / "new").write_bytes(other)
        os.utime(root.parent / "new", (1e9, 1e9))
        (root.parent / "new").replace(first)
    elif exchange == "two swapped":
        first.write_bytes(other)
        second.write_bytes(content)
    else:
        (root.parent / "new").write_bytes(other)
        os.utime(root.parent / "new", (1e9, 1e9))
        first.unlink()
        first.symlink_to(root.parent / "new")
    for file in (first, second):
        os.utime(file, (1e9, 1e9))
        assert (file.stat().st_size, file.stat().st_mtime) == (sizes, 1e9)

    data, fingerprint = source(root).load()

    assert fingerprint != before
    assert fingerprint == data.fingerprint() == decoded(source(root)).fingerprint()


def test_the_same_pictures_elsewhere_are_not_decoded_again(root, monkeypatch):
    fingerprint = source(root).load()[1]
    moved = root.rename(root.parent / "moved")
    for file in moved.rglob("*.png"):
        os.utime(file, (1, 1))
    monkeypatch.setattr(image_folder, "decode_files", None)

    assert source(moved).load()[1] == fingerprint


@pytest.mark.usefixtures("settled")
def test_a_folder_is_listed_once_a_start_and_unchanged_files_are_not_read(root, monkeypatch):
    expected = source(root).load()[1]
    listed, read = [], []
    listing = image_folder.visible_files
    monkeypatch.setattr(image_folder, "visible_files", lambda p: listed.append(p) or listing(p))
    monkeypatch.setattr(content_hashes, "checksum", read.append)

    assert source(root).load()[1] == expected
    assert len(listed) == len(set(listed)) == 6
    assert read == []


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("table", [b"", b"[]", b'{"/train/cat/0.png": [1, 2]}', b"\xff\xfe"])
def test_a_damaged_table_of_hashes_is_made_anew(root, table):
    expected = source(root).load()[1]
    (file,) = (root.parent / "cache").glob("hashes-*.json")
    file.write_bytes(table)

    assert source(root).load()[1] == expected
