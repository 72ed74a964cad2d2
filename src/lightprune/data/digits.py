"""scikit-learn's embedded handwritten digits as a data source."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits

from lightprune.data.decoding import rgb_array
from lightprune.data.images import ImageDataset, ImageSet
from lightprune.data.sources import LARGEST_SIZE, Source
from lightprune.data.validation_split import stratified_split
from lightprune.errors import check_number


@dataclass(frozen=True, kw_only=True)
class Digits(Source):
    """scikit-learn's embedded handwritten digits, enlarged to RGB of size x size pixels."""

    validation: int | float | str | None = 200
    size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("data.size", self.size, 8, LARGEST_SIZE, whole=True)

    def files(self) -> list[Path]:
        """None: the digits are a part of scikit-learn."""
        return []

    def required_bytes(self, files: Sequence[Path]) -> int:
        """1,797 images, 1,400 of them for training."""
        return (1_797 + 1_400 * self._splits_off) * self.size**2 * 3

    def decode(self, files: Sequence[Path]) -> ImageDataset:
        """1,797 images of 8x8 grey levels; 397 of them are the test set."""
        digits = load_digits()
        grey = (digits.images * (255 / 16)).round().astype(np.uint8)
        images = np.stack([rgb_array(Image.fromarray(image), self.size) for image in grey])
        whole = ImageSet(torch.from_numpy(images), torch.from_numpy(digits.target).long())
        train, test = stratified_split(whole, 397)
        return ImageDataset(train, test, tuple(str(name) for name in digits.target_names))
