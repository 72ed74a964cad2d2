"""Pictures in class folders, and a source of them."""

import io

import numpy as np
import pytest
from PIL import Image

from lightprune.data.image_folder import ImageFolder

SIZE = 8


def picture(mode="RGB", size=(SIZE, SIZE), seed=0):
    """Noise in any mode."""
    width, height = size
    noise = np.random.default_rng(seed)
    if mode == "I;16":
        return Image.fromarray(noise.integers(0, 65536, (height, width), dtype=np.uint16))
    colours = Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8))
    return colours.convert(mode)


def encoded(image, kind):
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


@pytest.fixture
def root(tmp_path):
    """Two classes, with two training images and one test image each."""
    folder = tmp_path / "images"
    for split, count in (("train", 2), ("test", 1)):
        for label, name in enumerate(("cat", "dog")):
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                image = picture(seed=100 * label + number + count)
                image.save(folder / split / name / f"{number}.png")
    return folder


def source(root, **settings):
    cache = root.parent / "cache"
    return ImageFolder(**{"root": str(root), "size": SIZE, "cache_dir": str(cache), **settings})


def decoded(made):
    return made.decode(made.files())
