"""What an image file shows, and what is refused because nothing says what it shows."""

import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from lightprune.data.decoding import decode, decode_files
from lightprune.errors import InputError

SIZE = 8
# A picture without any symmetry: red at the top left, green at the top right, blue below.
UPRIGHT = np.zeros((SIZE, SIZE, 3), np.uint8)
UPRIGHT[:4, :4, 0] = UPRIGHT[:4, 4:, 1] = UPRIGHT[4:, :, 2] = 255
# How a camera that was held so that the tag is needed has stored it.
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT, 1),
    7: UPRIGHT.transpose(1, 0, 2)[::-1, ::-1],
    8: np.rot90(UPRIGHT, -1),
}


def tagged(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def close(found, expected, loss):
    return np.abs(found.astype(int) - expected.astype(int)).mean() <= loss


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "loss"), [("JPEG", 30), ("PNG", 0), ("WEBP", 12), ("TIFF", 0), ("MPO", 30)]
)
def test_an_image_is_turned_as_its_orientation_says(tmp_path, kind, loss, orientation):
    file = tmp_path / "a"
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation]))
    more = {"lossless": True} if kind == "WEBP" else {}
    more |= {"save_all": True, "append_images": [stored]} if kind == "MPO" else {}
    stored.save(file, kind, exif=tagged(orientation), **more)

    assert close(decode(file, SIZE), UPRIGHT, loss)


def test_an_image_that_is_not_square_is_turned_before_it_is_resized(tmp_path):
    wide = Image.fromarray(np.linspace(0, 255, 24 * 12).astype(np.uint8).reshape(12, 24))
    wide.save(tmp_path / "a.png", exif=tagged(6))

    expected = wide.rotate(-90, expand=True).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    assert np.array_equal(decode(tmp_path / "a.png", SIZE)[..., 0], np.asarray(expected))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize(
    "exif", [b"", b"Exif", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nothing of it"]
)
def test_damaged_exif_data_are_taken_for_none(tmp_path, exif):
    Image.fromarray(UPRIGHT).save(tmp_path / "a.jpg", exif=exif)

    assert close(decode(tmp_path / "a.jpg", SIZE), UPRIGHT, 30)


def tiff(bits, values, sample_format=1, photometric=1):
    """A little-endian grey TIFF of one strip, 4 wide."""
    height = len(values) * 8 // bits // 4
    tags = [
        *((256, 4), (257, height), (258, bits), (259, 1), (262, photometric), (273, 8)),
        *((277, 1), (278, height), (279, len(values)), (339, sample_format)),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    ifd = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", 8 + len(values)) + values + ifd


RAMP = [0, 1 / 3, 2 / 3, 1]


def packed(bits):
    """Four rows of black to white in unsigned samples, most significant bit first."""
    row = "".join(f"{round(share * (2**bits - 1)):0{bits}b}" for share in RAMP)
    if bits == 16:
        return np.array([round(share * 65535) for share in RAMP] * 4, "<u2").tobytes()
    return int(row * 4, 2).to_bytes(bits * 2, "big")


@pytest.mark.parametrize("bits", [2, 4, 8, 12, 16])
def test_grey_samples_of_any_depth_reach_from_black_to_white(tmp_path, bits):
    (tmp_path / "a.tif").write_bytes(tiff(bits, packed(bits)))

    found = decode(tmp_path / "a.tif", 4)

    assert np.abs(found[0, :, 0].astype(int) - [0, 85, 170, 255]).max() <= 1
    assert (found == found[:1, :, :1]).all()


@pytest.mark.parametrize("top", [15, 255, 1000, 4095, 65535])
def test_a_portable_grey_map_reaches_from_black_to_its_own_white(tmp_path, top):
    values = " ".join(str(round(share * top)) for share in RAMP * 4)
    (tmp_path / "a.pgm").write_text(f"P2 4 4 {top} {values}\n")

    found = decode(tmp_path / "a.pgm", 4)[0, :, 0]

    assert np.abs(found.astype(int) - [0, 85, 170, 255]).max() <= 1


def test_a_16_bit_grey_png_reaches_from_black_to_white(tmp_path):
    values = np.array([[round(share * 65535) for share in RAMP]] * 4, np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png", exif=tagged(2))

    assert decode(tmp_path / "a.png", 4)[0, :, 0].tolist() == [255, 170, 85, 0]


def ramp(dtype, top):
    return np.array([[share * top for share in RAMP]] * 4).astype(dtype).tobytes()


@pytest.mark.parametrize(
    ("content", "samples"),
    [
        (tiff(32, ramp("<f4", 1.0), sample_format=3), "floating-point"),
        (tiff(32, ramp("<u4", 255)), "32-bit"),
        (tiff(32, ramp("<i4", 65535), sample_format=2), "signed"),
        (tiff(16, ramp("<i2", 32767), sample_format=2), "signed"),
        (tiff(8, ramp("<i1", 127), sample_format=2), "signed"),
        (tiff(16, packed(16), photometric=0), "white-is-zero 16-bit"),
        (b"Pf\n4 4\n-1.0\n" + ramp("<f4", 1.0), "floating-point"),
    ],
)
def test_samples_of_no_stated_range_are_refused_by_file(tmp_path, content, samples):
    file = tmp_path / "a"
    file.write_bytes(content)

    with pytest.raises(InputError, match=f"{file} has {samples} samples, which no rule scales"):
        decode(file, 4)


def test_white_is_zero_of_8_bits_is_shown_inverted(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(8, packed(8), photometric=0))

    assert decode(tmp_path / "a.tif", 4)[0, :, 0].tolist() == [255, 170, 85, 0]


def glyph(mode):
    """A black disc on a transparent ground whose colour is black too."""
    grey = Image.new("L", (SIZE, SIZE), 0)
    shape = Image.fromarray(np.triu(np.full((SIZE, SIZE), 255, np.uint8)))
    if mode == "P":
        palette = shape.point(lambda value: value // 255).convert("P")
        palette.putpalette([0] * 768)
        palette.info["transparency"] = b"\0\xff"
        return palette
    return Image.merge("LA", (grey, shape)).convert(mode)


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_what_is_transparent_shows_white_behind_it(tmp_path, mode):
    glyph(mode).save(tmp_path / "a.png")

    found = decode(tmp_path / "a.png", SIZE)

    assert np.array_equal(found[..., 0] == 0, np.triu(np.ones((SIZE, SIZE), bool)))
    assert set(np.unique(found)) == {0, 255}


def test_a_file_that_is_turned_is_what_pillow_turns_it_to(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (6, 11, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg", exif=tagged(8))

    with Image.open(tmp_path / "a.jpg") as image:
        turned = ImageOps.exif_transpose(image).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    assert np.array_equal(decode(tmp_path / "a.jpg", SIZE), np.asarray(turned))


def test_good_files_are_decoded_beside_bad_ones(tmp_path):
    for number in range(4):
        Image.fromarray(UPRIGHT // (number + 1)).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(b"")

    images, faults = decode_files([tmp_path / f"{number}.png" for number in range(4)], SIZE)

    assert [fault.partition(" is not")[0] for fault in faults] == [str(tmp_path / "2.png")]
    assert np.array_equal(images[[0, 1, 3]], [UPRIGHT, UPRIGHT // 2, UPRIGHT // 4])
