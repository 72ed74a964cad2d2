"""Data sources: their common base, and the CIFAR-10 archive."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torchvision.datasets import CIFAR10

from lightprune.data.content_hashes import content_hashes
from lightprune.data.decoding import RULES
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

    `mean` and `std` are per channel, of pixels scaled to 0..1.

    Attributes:
        validation: How many training images (or which share of them) are the validation set;
            `test` validates on the test set, as the reference does: for its reproduction only;
            `none` validates on nothing, and all images train; None takes the validation images
            that the data set has, or else a tenth of the training images, at most 5,000.
        cache_dir: Where decoded images are kept.
    """

    validation: int | float | str | None = 5000
    mean: Sequence[float] = CIFAR10_MEAN
    std: Sequence[float] = CIFAR10_STD
    cache_dir: str = "outputs/data"

    def __post_init__(self) -> None:
        check_folder("data.cache_dir", self.cache_dir)
        if isinstance(self.validation, str):
            if self.validation not in ("test", "none"):
                raise InputError(
                    f"data.validation={self.validation}: allowed are a count, a share, test, none, "
                    "or null"
                )
        elif isinstance(self.validation, int):
            check_number("data.validation", self.validation, 1, whole=True)
        elif self.validation is not None:
            check_number("data.validation", self.validation, 0, 1, open_low=True, open_high=True)
        for field in ("mean", "std"):
            values = getattr(self, field)
            if not isinstance(values, list | tuple) or len(values) != 3:
                raise InputError(f"data.{field}={values}: allowed are three numbers")
            for value in values:
                check_number(f"data.{field}", value, 0, open_low=field == "std")

    def load(self) -> tuple[ImageDataset, str]:
        """The images and their fingerprint, from the cache or else decoded and cached."""
        files = self.files()  # Missing data is an error before anything is written.
        with enough_memory(self._size_setting, self.required_bytes(files)):
            Path(self.cache_dir).mkdir(parents=True, exist_ok=True)
            with file_lock(self._in_cache(".lock")):
                return self._load(files)

    def _load(self, files: Sequence[Path]) -> tuple[ImageDataset, str]:
        # Where there were none, another process may have downloaded them before this got the lock.
        cache = self._cache_file(files or self.files())
        cached = load_cache(cache)
        if cached is not None:
            return cached
        data = self.decode(files)
        fingerprint = data.fingerprint()
        if not files:
            cache = self._cache_file(self.files())
        save_cache(cache, data, fingerprint)
        return data, fingerprint

    def _cache_file(self, files: Sequence[Path]) -> Path:
        """Named by all that decides what the files are decoded to, wherever they lie."""
        settings = [
            (field.name, getattr(self, field.name))
            for field in fields(self)
            if field.compare and field.name not in _NOT_DECODED
        ]
        key = repr((RULES, settings, content_hashes(files, Path(self.cache_dir))))
        return self._in_cache(f"-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors")

    def _in_cache(self, ending: str) -> Path:
        return Path(self.cache_dir, f"{type(self).__name__.lower()}{ending}")

    def splits(self, data: ImageDataset) -> tuple[ImageSet, ImageSet]:
        """The training images and those of validation, none of these for `validation=none`.

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
        if self.validation == "none":
            return data.train, data.train.take(torch.arange(0))
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
    def _splits_off(self) -> bool:
        return not isinstance(self.validation, str)

    @property
    def _size_setting(self) -> str:
        size = getattr(self, "size", None)
        return f"data={type(self).__name__.lower()}" if size is None else f"data.size={size}"

    def required_bytes(self, files: Sequence[Path]) -> int:
        """Estimates the memory of all images, once more of training images that are split.

        0 where nobody can tell.
        """
        return 0

    @abstractmethod
    def files(self) -> Sequence[Path]:
        """Every file that the data is decoded from; none if it is embedded, or not downloaded yet.

        Their names and contents, and the settings that a class adds to those of `Source`, are the
        key of what the cache holds.

        Raises:
            InputError: The data is not there.
        """

    @abstractmethod
    def decode(self, files: Sequence[Path]) -> ImageDataset:
        """Reads the data set, from the files that `files` returned.

        Raises:
            InputError: The data is not there, or damaged.
        """


# What no decoded pixel depends on.
_NOT_DECODED = {"root", "download", *(field.name for field in fields(Source))}


@dataclass(frozen=True, kw_only=True)
class Cifar10(Source):
    """The official CIFAR-10 archive, lossless; `root` has, or gets, `cifar-10-batches-py`."""

    root: str = "data"
    download: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_path("data.root", self.root)
        check_flag("data.download", self.download)

    def files(self) -> list[Path]:
        """The extracted batches."""
        return sorted(visible_files(Path(self.root) / CIFAR10.base_folder))

    def required_bytes(self, files: Sequence[Path]) -> int:
        """60,000 images of 32x32 pixels, 50,000 of them for training."""
        return (60_000 + 50_000 * self._splits_off) * 32 * 32 * 3

    def decode(self, files: Sequence[Path]) -> ImageDataset:
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


def visible_files(folder: Path) -> list[Path]:
    """The entries of a folder but hidden ones; empty if there is no such folder."""
    if not folder.is_dir():
        return []
    return [file for file in folder.iterdir() if not file.name.startswith(".")]
