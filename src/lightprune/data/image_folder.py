"""Image files in class folders as a data source."""

import os
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

    If there is `root/val`, `root/val/CLASS/*` is the validation set.

    Files are taken in the order of their names, hidden ones left out, and decoded as
    `lightprune.data.decoding` says.

    Attributes:
        root: The folder.
        size: Images of another size are resized to size x size pixels.
    """

    validation: int | float | str | None = None
    root: str | None = None
    size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("data.size", self.size, 1, LARGEST_SIZE, whole=True)
        if self.root is not None:
            check_path("data.root", self.root)

    def signature(self) -> str:
        """Every file's name, size and time, and the rules that it is decoded by."""
        files = [file for listing in self._listings().values() for file, _ in listing]
        stats = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
        return repr((self.size, RULES, stats))

    def decoded_bytes(self) -> int:
        """All files of all parts, at the size they are decoded to."""
        files = sum(map(len, self._listings().values()))
        return files * self.size**2 * 3

    def decode(self) -> ImageDataset:
        """Decodes every file.

        Raises:
            InputError: Some cannot be decoded: their number, and the first of them.
        """
        parts: dict[str, ImageSet] = {}
        faults: list[str] = []
        listings = self._listings()
        for name, files in listings.items():
            images, refused = decode_files([file for file, _ in files], self.size)
            labels = torch.tensor([label for _, label in files])
            parts[name] = ImageSet(torch.from_numpy(images), labels)
            faults += refused
        if faults:
            raise InputError(
                f"data.root={self.root}: {len(faults)} of {sum(map(len, listings.values()))} "
                f"files cannot be used: {first_of(faults)}; allowed are intact still images of "
                "unsigned samples of 1 to 16 bits"
            )
        # The same in every locale, which decides how Python decodes the names of files.
        names = map(os.fsencode, sorted(self._classes("train")))
        classes = tuple(name.decode("utf-8", "surrogateescape") for name in names)
        return ImageDataset(parts["train"], parts["test"], classes, parts.get("val"))

    def _listings(self) -> dict[str, list[tuple[Path, int]]]:
        """The files and labels of train, test and, if there, val."""
        if self.root is None or not Path(self.root).is_dir():
            raise InputError(
                f"data.root={self.root}: no such folder; allowed is one that holds train/CLASS/* "
                "and test/CLASS/*; or use data=cifar10 (downloads), or data=digits (embedded)"
            )
        classes = self._classes("train")
        if not classes:
            raise InputError(
                f"data.root={self.root}: holds no class folder train/CLASS; allowed is a folder "
                "with train/CLASS/* and test/CLASS/*"
            )
        parts = ["train", "test", *(["val"] if Path(self.root, "val").is_dir() else [])]
        for part in parts[1:]:
            if unpaired := sorted(classes ^ self._classes(part)):
                raise InputError(
                    f"data.root={self.root}: class folder{'s'[: len(unpaired) - 1]} "
                    f"{first_of(unpaired)} {'are' if len(unpaired) > 1 else 'is'} in only one of "
                    f"train and {part}; allowed are the same classes in both"
                )
        folders = {
            part: [Path(self.root, part, name) for name in sorted(classes)] for part in parts
        }
        listings = {
            part: [
                (file, label)
                for label, folder in enumerate(of_part)
                for file in sorted(visible_files(folder))
            ]
            for part, of_part in folders.items()
        }
        empty = [
            str(folder)
            for of_part in folders.values()
            for folder in of_part
            if not visible_files(folder)
        ]
        if empty:
            raise InputError(
                f"data.root={self.root}: {first_of(empty)} {'are' if len(empty) > 1 else 'is'} "
                "empty; allowed are images in each"
            )
        return listings

    def _classes(self, part: str) -> set[str]:
        """The names of a part's class folders."""
        return {f.name for f in visible_files(Path(str(self.root), part)) if f.is_dir()}
