"""Data sources: their common base, the CIFAR-10 archive, scikit-learn's embedded digits."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10

from lightprune.data.decoding import rgb_array
from lightprune.data.images import ImageDataset, ImageSet, load_cache, save_cache
from lightprune.data.memory import enough_memory
from lightprune.data.validation_split import (
    SplitError,
    check_class_sizes,
    default_count,
    stratified_split,
)
from lightprune.errors import InputError, check_flag, check_folder, check_number, check_path
from lightprune.files import file_lock

CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2470, 0.2435, 0.2616)
# All images of a data set lie in memory at once.
LARGEST_SIZE = 1024


@dataclass(frozen=True, kw_only=True)
class Source(ABC):
    """A data set: how it is read, split and normalised.

    Attributes:
        validation: How many training images (or which share of them) are the validation set;
            `test` validates on the test set, as the reference does: for its reproduction only;
            None takes the validation images that the data set has, or else a tenth of the
            training images, at most 5,000.
        mean: Per channel, of pixels scaled to 0..1, subtracted.
        std: Per channel, divided by.
        cache_dir: Where decoded images are kept.
    """

    validation: int | float | str | None = 5000
    mean: Sequence[float] = CIFAR10_MEAN
    std: Sequence[float] = CIFAR10_STD
    cache_dir: str = "outputs/data"

    def __post_init__(self) -> None:
        check_folder("data.cache_dir", self.cache_dir)
        if isinstance(self.validation, str):
            if self.validation != "test":
                raise InputError(
                    f"data.validation={self.validation}: allowed are a count, a share, test, or "
                    "null"
                )
        elif self.validation is None:
            pass
        elif isinstance(self.validation, int):
            check_number("data.validation", self.validation, 1, whole=True)
        else:
            check_number("data.validation", self.validation, 0, 1, open_low=True, open_high=True)
        for field in ("mean", "std"):
            values = getattr(self, field)
            if not isinstance(values, list | tuple) or len(values) != 3:
                raise InputError(f"data.{field}={values}: allowed are three numbers")
            for value in values:
                check_number(f"data.{field}", value, 0, open_low=field == "std")

    def load(self) -> tuple[ImageDataset, str]:
        """The images and their fingerprint, from the cache or else decoded and cached."""
        self.signature()  # Missing data is an error before anything is written.
        # All images, and those for training once more when the validation set is split off.
        required = 2 * self.decoded_bytes()
        with enough_memory(self._size_setting, required):
            return self._load()

    def _load(self) -> tuple[ImageDataset, str]:
        Path(self.cache_dir).mkdir(parents=True, exist_ok=True)
        with file_lock(Path(self.cache_dir) / f"{type(self).__name__.lower()}.lock"):
            cached = load_cache(self._cache_file())
            if cached is not None:
                return cached
            data = self.decode()
            fingerprint = data.fingerprint()
            # A download changes the signature, so the file is named only now.
            save_cache(self._cache_file(), data, fingerprint)
        return data, fingerprint

    def _cache_file(self) -> Path:
        key = hashlib.sha256(self.signature().encode()).hexdigest()[:16]
        return Path(self.cache_dir) / f"{type(self).__name__.lower()}-{key}.safetensors"

    def splits(self, data: ImageDataset) -> tuple[ImageSet, ImageSet]:
        """The training and the validation images.

        Raises:
            InputError: The data set does not have them, or has validation images of its own while
                `validation` wants others.
        """
        if data.validation is not None:
            if self.validation is not None:
                raise InputError(
                    f"data.validation={self.validation}: the data have "
                    f"{len(data.validation)} validation images of their own (val/); allowed is "
                    "data.validation=null, which takes them, or data without them"
                )
            return data.train, data.validation
        if self.validation == "test":
            return data.train, data.test
        check_class_sizes(data.train, data.classes, self.validation)
        with enough_memory(self._size_setting):
            return stratified_split(data.train, self._validation_count(data.train))

    def _validation_count(self, train: ImageSet) -> int:
        if self.validation is None:
            return default_count(train)
        if isinstance(self.validation, int):
            return self.validation
        count = round(float(self.validation) * len(train))
        if count == 0:
            raise SplitError(
                f"data.validation={self.validation}: is no image of {len(train)}; allowed is a "
                "share that leaves some"
            )
        return count

    @property
    def _size_setting(self) -> str:
        """The setting that decides how much memory the images take."""
        size = getattr(self, "size", None)
        return f"data={type(self).__name__.lower()}" if size is None else f"data.size={size}"

    def decoded_bytes(self) -> int:
        """Estimates how much memory the decoded images take; 0 where nobody can tell."""
        return 0

    @abstractmethod
    def signature(self) -> str:
        """Identifies the encoded data without reading it whole: the key of the cache file.

        Raises:
            InputError: The data is not there.
        """

    @abstractmethod
    def decode(self) -> ImageDataset:
        """Reads the data set.

        Raises:
            InputError: The data is not there, or damaged.
        """


@dataclass(frozen=True, kw_only=True)
class Cifar10(Source):
    """The official CIFAR-10 archive, lossless.

    Attributes:
        root: The folder that holds, or shall hold, `cifar-10-batches-py`.
        download: Whether to download it if it is not there.
    """

    root: str = "data"
    download: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path("data.root", self.root)
        check_flag("data.download", self.download)

    def signature(self) -> str:
        """The extracted batches' sizes and times."""
        folder = Path(self.root) / CIFAR10.base_folder
        return repr(
            sorted((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in visible_files(folder))
        )

    def decoded_bytes(self) -> int:
        """60,000 images of 32x32 pixels."""
        return 60_000 * 32 * 32 * 3

    def decode(self) -> ImageDataset:
        """Reads (and if allowed downloads) the archive."""
        try:
            train, test = (
                CIFAR10(self.root, train=train, download=self.download) for train in (True, False)
            )
        except (RuntimeError, OSError) as error:
            raise InputError(
                f"data.root={self.root}: holds no intact CIFAR-10 archive; allow the download "
                "(data.download=true), or unpack cifar-10-python.tar.gz there, or use "
                "data=images data.root=DIR with train/CLASS/* and test/CLASS/*"
            ) from error
        parts = [
            ImageSet(torch.from_numpy(part.data), torch.tensor(part.targets))
            for part in (train, test)
        ]
        return ImageDataset(parts[0], parts[1], tuple(train.classes))


@dataclass(frozen=True, kw_only=True)
class Digits(Source):
    """scikit-learn's embedded handwritten digits, enlarged to RGB: needs no download.

    Attributes:
        size: Edge length in pixels.
    """

    validation: int | float | str | None = 200
    size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("data.size", self.size, 8, LARGEST_SIZE, whole=True)

    def signature(self) -> str:
        """The size: the digits themselves never change."""
        return f"digits {self.size}"

    def decoded_bytes(self) -> int:
        """1,797 images."""
        return 1_797 * self.size**2 * 3

    def decode(self) -> ImageDataset:
        """1,797 images of 8x8 grey levels; 397 of them are the test set."""
        digits = load_digits()
        grey = (digits.images * (255 / 16)).round().astype(np.uint8)
        images = np.stack([rgb_array(Image.fromarray(image), self.size) for image in grey])
        whole = ImageSet(torch.from_numpy(images), torch.from_numpy(digits.target).long())
        train, test = stratified_split(whole, 397)
        return ImageDataset(train, test, tuple(str(name) for name in digits.target_names))


def visible_files(folder: Path) -> list[Path]:
    """The entries of a folder but hidden ones; empty if there is no such folder."""
    if not folder.is_dir():
        return []
    return [file for file in folder.iterdir() if not file.name.startswith(".")]
