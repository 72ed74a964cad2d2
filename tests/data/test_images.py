import json
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightprune.data.images import (
    ImageDataset,
    ImageSet,
    load_cache,
    save_cache,
)
from tests.training.small import InMemory, labelled


def changed(data, part, field, index):
    """The same data with one number raised by one."""
    values = getattr(getattr(data, part), field).clone()
    values[index] += 1
    sets = {"train": data.train, "test": data.test}
    fields = {"images": sets[part].images, "labels": sets[part].labels, field: values}
    return ImageDataset(**{**sets, part: ImageSet(**fields)}, classes=data.classes)


def same(first, second):
    return first.classes == second.classes and all(
        torch.equal(getattr(getattr(first, part), field), getattr(getattr(second, part), field))
        and getattr(getattr(first, part), field).dtype
        == getattr(getattr(second, part), field).dtype
        for part in ("train", "test")
        for field in ("images", "labels")
    )


def test_equal_data_has_an_equal_fingerprint():
    assert labelled().fingerprint() == labelled().fingerprint()


@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize(("field", "index"), [("images", (3, 5, 2, 1)), ("labels", 7)])
def test_one_other_pixel_or_label_changes_the_fingerprint(part, field, index):
    data = labelled()

    assert changed(data, part, field, index).fingerprint() != data.fingerprint()


def test_another_class_name_or_order_changes_the_fingerprint():
    data = labelled()
    variants = [data.classes, ("ape", "bee", "cat", "elk"), data.classes[::-1], data.classes[:3]]

    prints = {ImageDataset(data.train, data.test, names).fingerprint() for names in variants}

    assert len(prints) == 4


def test_the_same_pixels_in_another_shape_or_split_change_the_fingerprint():
    data = labelled()
    flat = ImageSet(data.train.images.reshape(136, 4, 16, 3), data.train.labels)
    swapped = ImageDataset(data.test, data.train, data.classes)

    variants = [data, ImageDataset(flat, data.test, data.classes), swapped]

    assert len({variant.fingerprint() for variant in variants}) == 3


def test_the_memory_layout_does_not_change_the_fingerprint():
    data = labelled()
    relaid = data.train.images.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    again = ImageDataset(ImageSet(relaid, data.train.labels), data.test, data.classes)

    assert again.fingerprint() == data.fingerprint()


def test_what_was_stored_is_recalled(tmp_path):
    data = labelled()
    save_cache(tmp_path / "deep" / "cache.safetensors", data, data.fingerprint())

    recalled, fingerprint = load_cache(tmp_path / "deep" / "cache.safetensors")

    assert same(recalled, data)
    assert fingerprint == data.fingerprint()


def test_validation_images_of_the_user_are_stored_and_part_of_the_fingerprint(tmp_path):
    data = labelled()
    own = ImageDataset(data.train, data.test, data.classes, data.test)
    other = ImageDataset(data.train, data.test, data.classes, data.train)
    save_cache(tmp_path / "cache.safetensors", own, own.fingerprint())

    recalled, fingerprint = load_cache(tmp_path / "cache.safetensors")

    assert torch.equal(recalled.validation.images, data.test.images)
    assert fingerprint == own.fingerprint()
    assert len({d.fingerprint() for d in (data, own, other)}) == 3


def test_nothing_is_recalled_from_a_file_that_is_not_there(tmp_path):
    assert load_cache(tmp_path / "cache.safetensors") is None


@pytest.fixture
def cache(tmp_path):
    """A cache file of a source, and the source."""
    source = InMemory(cache_dir=str(tmp_path))
    source.load()
    (file,) = tmp_path.glob("*.safetensors")
    return source, file


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 100, -1])
def test_a_truncated_cache_file_is_decoded_again(cache, keep):
    source, file = cache
    whole = file.read_bytes()
    file.write_bytes(whole[:keep])

    assert load_cache(file) is None
    data, fingerprint = source.load()
    assert same(data, labelled())
    assert fingerprint == data.fingerprint()
    assert same(load_cache(file)[0], data)


def flip(content, place, bit):
    damaged = bytearray(content)
    damaged[place] ^= 1 << bit
    return damaged


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    """An intact cache file."""
    file = tmp_path_factory.mktemp("cache") / "cache.safetensors"
    save_cache(file, labelled(), labelled().fingerprint())
    return file


@settings(max_examples=200)
@given(data=st.data())
def test_a_flipped_bit_of_a_cache_files_header_changes_nothing_that_is_recalled(cached, data):
    whole = cached.read_bytes()
    (header,) = struct.unpack("<Q", whole[:8])
    place, bit = data.draw(st.integers(0, 7 + header)), data.draw(st.integers(0, 7))
    damaged = cached.with_name("damaged")
    damaged.write_bytes(flip(whole, place, bit))

    recalled = load_cache(damaged)

    assert recalled is None or same(recalled[0], labelled())
    assert recalled is None or recalled[1] == labelled().fingerprint()


def test_a_flipped_bit_of_the_cached_class_names_is_noticed(cached):
    whole = cached.read_bytes()
    damaged = cached.with_name("damaged")
    for place in range(whole.index(b"["), whole.index(b"]") + 1):
        for bit in range(8):
            damaged.write_bytes(flip(whole, place, bit))
            assert load_cache(damaged) is None


def test_a_flipped_bit_of_a_cached_pixel_is_noticed(cached):
    damaged = cached.with_name("damaged")
    damaged.write_bytes(flip(cached.read_bytes(), -1, 0))

    assert load_cache(damaged) is None


def test_a_safetensors_file_of_something_else_is_not_recalled(tmp_path):
    header = json.dumps({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}).encode()
    file = tmp_path / "cache.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header + b"\x00")

    assert load_cache(file) is None
