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
    stratified_split,
)
from lightprune.errors import InputError
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


def numbered(labels):
    images = torch.arange(len(labels)).view(-1, 1, 1, 1).repeat(1, 1, 1, 3)
    return ImageSet(images, torch.tensor(labels))


def numbers(images):
    return images.images[:, 0, 0, 0].tolist()


@given(
    sizes=st.lists(st.integers(5, 30), min_size=2, max_size=5),
    share=st.floats(0.2, 0.8),
    order=st.randoms(use_true_random=False),
)
def test_a_split_is_exact_disjoint_stratified_and_always_the_same(sizes, share, order):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    order.shuffle(labels)
    images, count = numbered(labels), round(share * len(labels))

    rest, chosen = stratified_split(images, count)

    assert len(chosen) == count
    assert sorted(numbers(rest) + numbers(chosen)) == list(range(len(labels)))
    for label, size in enumerate(sizes):
        expected = size * count / len(labels)
        assert abs(int((chosen.labels == label).sum()) - expected) <= 1
    again = stratified_split(images, count)
    assert [numbers(part) for part in again] == [numbers(rest), numbers(chosen)]


def test_both_sides_of_a_split_keep_the_order_and_the_labels_of_the_images():
    labels = [0, 1, 2] * 10

    for part in stratified_split(numbered(labels), 12):
        assert numbers(part) == sorted(numbers(part))
        assert part.labels.tolist() == [labels[number] for number in numbers(part)]


@pytest.mark.parametrize("count", [2, 28, 30, 31, 5000])
def test_a_split_that_leaves_a_class_out_is_refused_by_name(count):
    with pytest.raises(InputError, match=f"data.validation={count}: of 30 training images"):
        stratified_split(numbered([0, 1, 2] * 10), count)


@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=4),
    share=st.floats(0.01, 0.99),
)
def test_a_split_is_refused_or_leaves_every_class_on_both_sides(sizes, share):
    labels = [label for label, size in enumerate(sizes) for _ in range(size)]
    try:
        parts = stratified_split(numbered(labels), max(round(share * len(labels)), 1))
    except InputError:
        return

    for part in parts:
        assert set(part.labels.tolist()) == set(range(len(sizes)))


def test_what_was_stored_is_recalled(tmp_path):
    data = labelled()
    save_cache(tmp_path / "deep" / "cache.safetensors", data, data.fingerprint())

    recalled, fingerprint = load_cache(tmp_path / "deep" / "cache.safetensors")

    assert same(recalled, data)
    assert fingerprint == data.fingerprint()


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
