"""Image files in class folders as a data source."""

from dataclasses import dataclass
from pathlib import Path

import torch

from lightprune.data.decoding import RULES, decode_files
from lightprune.data.images import ImageDataset, ImageSet
from lightprune.data.sources import LARGEST_SIZE, Source, visible_files
from lightprune.errors import InputError, check_number, check_path, first_of


@dataclass(frozen=True, kw_only=True)
class ImageFolder(Source):
    """Image files in `root/train/CLASS/*` and `root/test/CLASS/*`, any number of classes.

    Files are taken in the order of their names, hidden ones left out, and decoded as
    `lightprune.data.decoding` says.

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
        """Every file's name, size and time, and the rules that it is decoded by."""
        files = [file for split in ("train", "test") for file, _ in self._listing(split)[0]]
        stats = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
        return repr((self.size, RULES, stats))

    def decoded_bytes(self) -> int:
        """All files of both splits, at the size they are decoded to."""
        files = sum(len(self._listing(split)[0]) for split in ("train", "test"))
        return files * self.size**2 * 3

    def decode(self) -> ImageDataset:
        """Decodes every file.

        Raises:
            InputError: Some cannot be decoded: their number, and the first of them.
        """
        (train, classes), (test, _) = self._listing("train"), self._listing("test")
        parts: list[ImageSet] = []
        faults: list[str] = []
        for files in (train, test):
            images, refused = decode_files([file for file, _ in files], self.size)
            labels = torch.tensor([label for _, label in files])
            parts.append(ImageSet(torch.from_numpy(images), labels))
            faults += refused
        if faults:
            raise InputError(
                f"data.root={self.root}: {len(faults)} of {len(train) + len(test)} files cannot "
                f"be used: {first_of(faults)}; allowed are intact still images of unsigned "
                "samples of 1 to 16 bits"
            )
        return ImageDataset(parts[0], parts[1], classes)

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
