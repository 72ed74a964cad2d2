import io
import os
import shutil
import struct
from zlib import compress, crc32

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lightprune.data.image_folder import ImageFolder
from lightprune.errors import InputError
from tests.data.conftest import SIZE, decoded, encoded, picture, source


def test_images_are_taken_in_the_order_of_their_classes_and_names(root):
    data = decoded(source(root))

    assert data.classes == ("cat", "dog")
    assert data.train.labels.tolist() == [0, 0, 1, 1]
    assert data.test.labels.tolist() == [0, 1]
    names = ("cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png")
    expected = [np.asarray(Image.open(root / "train" / name)) for name in names]
    assert np.array_equal(data.train.images.numpy(), np.stack(expected))
    assert data.train.images.dtype == torch.uint8


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF"])
def test_every_kind_of_image_file_is_read_as_pillow_reads_it(root, kind):
    content = encoded(picture(seed=5), kind)
    (root / "train" / "cat" / "0.png").write_bytes(content)

    found = decoded(source(root)).train.images[0]

    expected = Image.open(io.BytesIO(content)).convert("RGB")
    assert np.array_equal(found.numpy(), np.asarray(expected))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_mode_becomes_rgb_of_8_bits(root, mode):
    original = picture(mode)
    original.save(root / "train" / "cat" / "0.png")
    values = np.asarray(original)
    expected = {
        "1": lambda: values[..., None] * 255,
        "L": lambda: values[..., None],
        "LA": lambda: values[..., :1],
        "P": lambda: np.array(original.getpalette()).reshape(-1, 3)[values],
        "RGBA": lambda: values[..., :3],
        "I;16": lambda: values[..., None] / 257,
    }[mode]()

    found = decoded(source(root)).train.images[0].numpy()

    assert found.shape == (SIZE, SIZE, 3)
    assert np.abs(found - np.broadcast_to(expected, found.shape).astype(float)).max() <= 1


@pytest.mark.parametrize(("kind", "loss"), [("TIFF", 0), ("JPEG", 40)])
def test_a_cmyk_image_becomes_the_rgb_it_stands_for(root, kind, loss):
    colours = Image.new("RGB", (SIZE, SIZE), (200, 30, 90))
    content = encoded(colours.convert("CMYK"), kind)
    (root / "train" / "cat" / "0.png").write_bytes(content)

    found = decoded(source(root)).train.images[0].numpy()

    assert np.abs(found - np.asarray(colours).astype(int)).max() <= loss


def test_the_key_of_a_cmyk_image_darkens_all_colours(root):
    Image.new("CMYK", (SIZE, SIZE), (0, 255, 0, 128)).save(root / "train" / "cat" / "0.tiff")
    (root / "train" / "cat" / "0.png").unlink()

    found = decoded(source(root)).train.images[0].numpy()

    assert np.array_equal(np.unique(found.reshape(-1, 3), axis=0), [[127, 0, 127]])


def test_a_16_bit_rgb_image_keeps_its_upper_bits(root):
    # Pillow writes none: one row of 16 bits a channel, as the PNG specification lays it out.
    rows = b"".join(b"\0" + bytes([200, 7, 30, 99, 90, 1]) * SIZE for _ in range(SIZE))
    (root / "train" / "cat" / "0.png").write_bytes(png(rows, depth=16, colour_type=2))

    found = decoded(source(root)).train.images[0].numpy()

    assert np.array_equal(np.unique(found.reshape(-1, 3), axis=0), [[200, 30, 90]])


def png(rows, depth, colour_type):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))

    header = struct.pack(">IIBBBBB", SIZE, SIZE, depth, colour_type, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_an_image_of_several_frames_is_refused_with_their_number(root, kind):
    file = root / "train" / "cat" / "0.png"
    frames = [picture(seed=seed) for seed in range(3)]
    frames[0].save(file, kind, save_all=True, append_images=frames[1:])

    message = refusal(source(root))
    assert message.startswith(f"data.root={root}: 1 of 6 files cannot be used: {file} has 3 frames")
    assert "allowed are intact still images" in message


def test_a_photograph_with_a_preview_behind_it_is_one_image(root):
    photograph = Image.new("RGB", (SIZE, SIZE), (200, 30, 90))
    preview = Image.new("RGB", (SIZE, SIZE))
    file = root / "train" / "cat" / "0.png"
    photograph.save(file, "MPO", save_all=True, append_images=[preview])

    found = decoded(source(root)).train.images[0].numpy().astype(int)

    assert np.abs(found - np.asarray(photograph).astype(int)).max() <= 5


@pytest.mark.parametrize("size", [(16, 16), (5, 11), (1, 1)])
def test_an_image_of_another_size_is_resized(root, size):
    original = picture(size=size)
    original.save(root / "train" / "cat" / "0.png")

    found = decoded(source(root)).train.images[0].numpy()

    expected = original.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    assert np.array_equal(found, np.asarray(expected))


def refusal(made):
    with pytest.raises(InputError) as caught:
        made.load()
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0, 0.1, 0.5])
def test_a_truncated_image_is_refused_by_its_name(root, kind, share):
    content = encoded(picture(size=(16, 16)), kind)
    file = root / "test" / "dog" / "0.png"
    file.write_bytes(content[: int(share * len(content))])

    assert f"{file} is not a readable image" in refusal(source(root))


@pytest.mark.parametrize(("count", "tail"), [(3, ")"), (10, ")"), (12, "), and 2 more")])
def test_all_bad_files_are_counted_and_the_first_ten_named(root, count, tail):
    files = [root / "train" / "dog" / f"bad{number:02}.png" for number in range(count)]
    for file in files:
        file.write_bytes(b"no image")

    message = refusal(source(root))

    assert f"{count} of {6 + count} files cannot be used: {files[0]} is not a" in message
    assert [f"{file} is not a readable image" in message for file in files] == [
        number < 10 for number in range(count)
    ]
    assert f"{tail}; allowed are intact still images" in message


def test_bad_files_of_all_splits_are_named_at_once(root):
    (root / "test" / "cat" / "0.png").write_bytes(b"")
    (root / "train" / "dog" / "1.png").write_text("not an image")

    message = refusal(source(root))

    assert "2 of 6 files" in message
    assert f"{root / 'train' / 'dog' / '1.png'} is not" in message
    assert f"{root / 'test' / 'cat' / '0.png'} is not" in message


@pytest.mark.parametrize("name", ["notes.txt", "Thumbs.db"])
def test_a_file_that_is_no_image_is_refused_by_its_name(root, name):
    file = root / "train" / "dog" / name
    file.write_text("not an image")

    assert f"{file} is not a readable image" in refusal(source(root))


def test_a_link_to_nothing_is_refused_by_its_name(root):
    (root / "train" / "dog" / "lost.png").symlink_to(root / "gone.png")

    assert f"{root / 'train' / 'dog' / 'lost.png'} is not a readable image" in refusal(source(root))


def test_a_folder_among_the_images_is_refused_by_its_name(root):
    (root / "train" / "dog" / "more").mkdir()

    assert f"{root / 'train' / 'dog' / 'more'} is not a readable image" in refusal(source(root))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=150)
@given(data=st.data(), kind=st.sampled_from(["PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM"]))
def test_a_damaged_file_of_any_kind_is_read_or_refused_but_never_an_odd_error(
    tmp_path_factory, data, kind
):
    content = bytearray(encoded(picture(size=(6, 5)), kind))
    del content[data.draw(st.integers(1, len(content))) :]
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=3)):
        content[place] = data.draw(st.integers(0, 255))
    root = tmp_path_factory.mktemp("images")
    for split in ("train", "test"):
        (root / split / "cat").mkdir(parents=True)
        (root / split / "cat" / "0").write_bytes(content)
    try:
        shape = decoded(ImageFolder(root=str(root), size=SIZE)).train.images.shape
    except InputError as error:
        refused = str(error)
    else:
        refused = None
        assert shape == (1, SIZE, SIZE, 3)

    assert refused is None or f"{root / 'train' / 'cat' / '0'} is not a readable image" in refused


@pytest.mark.parametrize("root_", [None, "missing"])
def test_a_missing_folder_is_refused_with_what_to_do(tmp_path, root_):
    path = root_ and str(tmp_path / root_)

    message = refusal(ImageFolder(root=path, cache_dir=str(tmp_path / "cache")))

    assert message.startswith(f"data.root={path}: no such folder")
    assert "train/CLASS/*" in message
    assert "data=cifar10" in message
    assert "data=digits" in message
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("inside", [[], ["train"], ["train", "test"], ["cat", "dog"]])
def test_a_folder_without_class_folders_is_refused(tmp_path, inside):
    for name in inside:
        (tmp_path / name).mkdir()

    assert "holds no class folder train/CLASS" in refusal(source(tmp_path))


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_class_in_only_one_split_is_refused_by_its_name(root, split):
    (root / split / "eel").mkdir()
    picture().save(root / split / "eel" / "0.png")

    assert "class folder eel is in only one of train and test" in refusal(source(root))


@pytest.fixture
def with_val(root):
    """The two classes with a validation image each."""
    for label, name in enumerate(("cat", "dog")):
        (root / "val" / name).mkdir(parents=True)
        picture(seed=50 + label).save(root / "val" / name / "0.png")
    return root


def test_the_images_in_val_are_the_validation_set(with_val):
    made = source(with_val)
    data, fingerprint = made.load()
    train, validation = made.splits(data)

    assert len(train) == 4
    assert validation.labels.tolist() == [0, 1]
    assert np.array_equal(validation.images[1].numpy(), np.asarray(picture(seed=51)))
    assert made.load()[1] == fingerprint


@pytest.mark.parametrize("change", ["other image", "one more", "none"])
def test_the_images_in_val_are_part_of_the_fingerprint(with_val, change):
    before = source(with_val).load()[1]
    if change == "none":
        shutil.rmtree(with_val / "val")
    else:
        name = "0.png" if change == "other image" else "1.png"
        picture(seed=99).save(with_val / "val" / "dog" / name)

    assert source(with_val).load()[1] != before


@pytest.mark.parametrize("spoil", ["a class more", "a class less", "no class"])
def test_other_classes_in_val_are_refused_by_name(with_val, spoil):
    if spoil == "a class more":
        (with_val / "val" / "eel").mkdir()
        named = "class folder eel is"
    elif spoil == "a class less":
        shutil.rmtree(with_val / "val" / "dog")
        named = "class folder dog is"
    else:
        shutil.rmtree(with_val / "val")
        (with_val / "val").mkdir()
        named = "class folders cat, dog are"

    assert f"{named} in only one of train and val" in refusal(source(with_val))


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_empty_class_is_refused_by_its_folder(root, split):
    for part in ("train", "test"):
        (root / part / "eel").mkdir()
    other = "test" if split == "train" else "train"
    picture().save(root / other / "eel" / "0.png")

    assert f"{root / split / 'eel'} is empty" in refusal(source(root))


def test_hidden_files_and_folders_are_left_out(root):
    (root / "train" / "cat" / ".DS_Store").write_bytes(b"junk")
    (root / "train" / ".ipynb_checkpoints").mkdir()
    (root / "train" / "readme.txt").write_text("about")

    data = decoded(source(root))

    assert data.classes == ("cat", "dog")
    assert len(data.train) == 4


def test_a_changed_file_is_decoded_again(root):
    first = source(root).load()[1]
    file = root / "train" / "cat" / "0.png"
    picture(seed=77).save(file)
    os.utime(file, (1, 1))

    data, fingerprint = source(root).load()

    assert fingerprint != first
    assert fingerprint == data.fingerprint() == decoded(source(root)).fingerprint()


def test_another_size_has_a_cache_of_its_own(root):
    source(root).load()

    data, _ = source(root, size=4).load()

    assert data.train.images.shape == (4, 4, 4, 3)


@pytest.mark.parametrize("size", [0, -3, 2.5, "32", 1025])
def test_a_bad_size_is_refused(root, size):
    with pytest.raises(InputError, match=rf"data.size={size}: allowed is an integer in \[1, 1024"):
        source(root, size=size)
