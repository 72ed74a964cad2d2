"""Image files, or one picture, as uint8 RGB: upright, of one size, its range scaled by a rule.

- An image is turned as its EXIF orientation says.
- Unsigned samples of 1 to 16 bits are scaled so that black is 0 and white is 255; the least
  significant bits are rounded away. Grey, palette, CMYK and other colours become RGB.
- What is transparent shows white behind it.
- Signed, 32-bit and floating-point samples are refused: no file says which value is white.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from lightprune.errors import InputError, first_line

# Counts the changes of these rules: what was decoded by others is decoded again.
RULES = 2
# How an image that was stored with an EXIF orientation is turned.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# TIFF tags: how many bits a sample has, whether 0 is white or black, and what the bits are.
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _UNSIGNED = 0, 1, 1
# What Pillow raises for files that are damaged, or no images.
_UNREADABLE = (
    UnidentifiedImageError,
    OSError,
    ValueError,
    SyntaxError,
    Image.DecompressionBombError,
)


def decode_files(files: Sequence[Path], size: int) -> tuple[np.ndarray, list[str]]:
    """Decodes files.

    Returns:
        uint8 RGB of shape (count, size, size, 3), and what is wrong with each file that cannot
        be decoded.
    """
    images = np.empty((len(files), size, size, 3), np.uint8)

    def fill(index: int) -> str | None:
        try:
            images[index] = decode(files[index], size)
        except InputError as error:
            return str(error)
        return None

    with ThreadPoolExecutor() as pool:
        faults = list(pool.map(fill, range(len(files)), chunksize=256))
    return images, [fault for fault in faults if fault is not None]


def decode(file: Path, size: int) -> np.ndarray:
    """A file as uint8 RGB of shape (size, size, 3).

    Raises:
        InputError: It is no intact still image, or nothing says how to scale its samples.
    """
    try:
        with Image.open(file) as image:
            # A camera's MPO is a JPEG photograph with previews of itself behind it.
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            if frames > 1:
                raise InputError(f"{file} has {frames} frames")
            image.load()
            if unscalable := _unscalable(image):
                raise InputError(f"{file} has {unscalable} samples, which no rule scales to 8 bits")
            bits = max(_tiff_tag(image, _BITS, 16))
            return rgb_array(_upright(image), size, bits)
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError(f"{file} is not a readable image ({first_line(error)})") from error


def rgb_array(image: Image.Image, size: int, bits: int = 16) -> np.ndarray:
    """A picture as uint8 RGB of shape (size, size, 3).

    `bits` are those of a grey sample, where the picture holds them in more than 8.
    """
    if image.mode.startswith("I"):  # convert() would clip to white
        scale = 255 / (2**bits - 1)
        grey = (np.asarray(image).astype(np.float32) * scale).round().clip(0, 255)
        image = Image.fromarray(grey.astype(np.uint8))
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        image = Image.new("RGBA", shown.size, "white")
        image.alpha_composite(shown)
    image = image.convert("RGB")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _upright(image: Image.Image) -> Image.Image:
    """The image as viewers show it; like them, it takes damaged EXIF data for none."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # Pillow's parser raises whatever it trips over.
        return image
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _unscalable(image: Image.Image) -> str | None:
    """What an image's samples are, unless they are unsigned, of 1 to 16 bits, and 0 is black."""
    deep = image.mode.startswith("I")
    if image.mode == "F":
        return "floating-point"
    if _tiff_tag(image, _SAMPLE_FORMAT, _UNSIGNED) != {_UNSIGNED} or (
        deep and image.format == "FITS"
    ):
        return "signed"
    # Pillow inverts such samples where they are of 8 bits or fewer.
    if deep and _tiff_tag(image, _PHOTOMETRIC, _BLACK_IS_ZERO) == {_WHITE_IS_ZERO}:
        return "white-is-zero 16-bit"
    # Pillow holds the 16 bits of a PGM file in 32, scaled.
    return "32-bit" if image.mode == "I" and image.format != "PPM" else None


def _tiff_tag(image: Image.Image, tag: int, default: int) -> set[int]:
    """The values of a tag, one a channel; only TIFF files have any."""
    values = getattr(image, "tag_v2", {}).get(tag, default)
    return set(values) if isinstance(values, tuple) else {values}
