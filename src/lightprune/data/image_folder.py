"""Image files in class folders as a data source."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from lightprune.data.images import ImageDataset, ImageSet
from lightprune.data.sources import LARGEST_SIZE, Source, rgb_array, visible_files
from lightprune.errors import InputError, check_number, check_path, first_line


@dataclass(frozen=True, kw_only=True)
class ImageFolder(Source):
    """Image files in `root/train/CLASS/*` and `root/test/CLASS/*`, any number of classes.

    Files are taken in the order of their names, hidden ones left out; grey, palette and other
    modes are converted to RGB.

    Attributes:
        root: The folder.
        size: Images of another size are resized to size x size pixels.
    """

    root: str | None = None
    size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("data.size", self.size, 1, LARGEST_SIZE, whole=True)
        if self.root is not None:
            check_path("data.root", self.root)

    def signature(self) -> str:
        """Every file's name, size and time."""
        files = [file for split in ("train", "test") for file, _ in self._listing(split)[0]]
        stats = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
        return repr((self.size, stats))

    def decode(self) -> ImageDataset:
        """Decodes every file."""
        (train, classes), (test, _) = self._listing("train"), self._listing("test")
        return ImageDataset(self._read(train), self._read(test), classes)

    def _listing(self, split: str) -> tuple[list[tuple[Path, int]], tuple[str, ...]]:
        if self.root is None or not Path(self.root).is_dir():
            raise InputError(
                f"data.root={self.root}: no such folder; allowed is one that holds train/CLASS/* "
                "and test/CLASS/*; or use data=cifar10 (downloads), or data=digits (embedded)"
            )
        names = {
            part: {f.name for f in visible_files(Path(self.root) / part) if f.is_dir()}
            for part in ("train", "test")
        }
        if not names["train"]:
            raise InputError(
                f"data.root={self.root}: holds no class folder train/CLASS; allowed is a folder "
                "with train/CLASS/* and test/CLASS/*"
            )
        unpaired = sorted(names["train"] ^ names["test"])
        if unpaired:
            raise InputError(
                f"data.root={self.root}: class folder {unpaired[0]} is in only one of train and "
                "test; allowed are the same classes in both"
            )
        classes = tuple(sorted(names[split]))
        files = []
        for label, name in enumerate(classes):
            folder = Path(self.root) / split / name
            images = sorted(visible_files(folder))
            if not images:
                raise InputError(f"data.root={self.root}: {folder} is empty; allowed are images")
            files += [(file, label) for file in images]
        return files, classes

    def _read(self, files: list[tuple[Path, int]]) -> ImageSet:
        images = np.empty((len(files), self.size, self.size, 3), np.uint8)

        def read(index: int) -> None:
            images[index] = _decode(files[index][0], self.size)

        with ThreadPoolExecutor() as pool:
            for _ in pool.map(read, range(len(files)), chunksize=256):
                pass
        return ImageSet(torch.from_numpy(images), torch.tensor([label for _, label in files]))


def _decode(file: Path, size: int) -> np.ndarray:
    try:
        with Image.open(file) as image:
            # A camera's MPO is a JPEG photograph with previews of itself behind it.
            frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)
            if frames > 1:
                raise InputError(f"data.root: {file} has {frames} frames; allowed are still images")
            return rgb_array(image, size)
    except InputError:
        raise
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        SyntaxError,
        Image.DecompressionBombError,
    ) as error:
        reason = first_line(error)
        raise InputError(
            f"data.root: {file} is not a readable image ({reason}); allowed are intact image files"
        ) from error
