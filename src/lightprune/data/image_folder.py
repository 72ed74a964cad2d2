"""Image files in class folders as a data source."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from lightprune.data.decoding import decode_files
from lightprune.data.images import ImageDataset, ImageSet
from lightprune.data.sources import LARGEST_SIZE, Source, visible_files
from lightprune.errors import InputError, check_number, check_path, first_of


@dataclass(frozen=True, kw_only=True)
class ImageFolder(Source):
    """Image files in `root/train/CLASS/*` and `root/test/CLASS/*`, any number of classes.

    If there is `root/val`, `root/val/CLASS/*` is the validation set.

    Files are taken in the order of their names, hidden ones left out, decoded as
    `lightprune.data.decoding` says, and resized to size x size pixels.
    """

    validation: int | float | str | None = None
    root: str | None = None
    size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("data.size", self.size, 1, LARGEST_SIZE, whole=True)
        if self.root is not None:
            check_path("data.root", self.root)

    def files(self) -> list[Path]:
        """The files of all classes of train, test and, if there, val."""
        if self.root is None or not Path(self.root).is_dir():
            raise InputError(
                f"data.root={self.root}: no such folder; allowed is one that holds train/CLASS/* "
                "and test/CLASS/*; or use data=cifar10 (downloads), or data=digits (embedded)"
            )
        folders = {
            part: sorted(f for f in visible_files(Path(self.root, part)) if f.is_dir())
            for part in ("train", "test", "val")
            if part != "val" or Path(self.root, part).is_dir()
        }
        classes = {folder.name for folder in folders["train"]}
        if not classes:
            raise InputError(
                f"data.root={self.root}: holds no class folder train/CLASS; allowed is a folder "
                "with train/CLASS/* and test/CLASS/*"
            )
        for part, of_part in folders.items():
            if unpaired := sorted(classes ^ {folder.name for folder in of_part}):
                raise InputError(
                    f"data.root={self.root}: class folder{'s'[: len(unpaired) - 1]} "
                    f"{first_of(unpaired)} {'are' if len(unpaired) > 1 else 'is'} in only one of "
                    f"train and {part}; allowed are the same classes in both"
                )
        inside = {
            folder: sorted(visible_files(folder)) for part in folders.values() for folder in part
        }
        if empty := [str(folder) for folder, files in inside.items() if not files]:
            raise InputError(
                f"data.root={self.root}: {first_of(empty)} {'are' if len(empty) > 1 else 'is'} "
                "empty; allowed are images in each"
            )
        return [file for files in inside.values() for file in files]

    def required_bytes(self, files: Sequence[Path]) -> int:
        """All files of all parts, at the size they are decoded to; training images may be split."""
        counts = {part: len(of_part) for part, of_part in _parts(files).items()}
        copied = counts["train"] if self._splits_off and "val" not in counts else 0
        return (len(files) + copied) * self.size**2 * 3

    def decode(self, files: Sequence[Path]) -> ImageDataset:
        """Decodes every file."""
        names = sorted({file.parent.name for file in files})
        labels = {name: label for label, name in enumerate(names)}
        parts, faults = {}, []
        for part, of_part in _parts(files).items():
            images, refused = decode_files(of_part, self.size)
            classes = torch.tensor([labels[file.parent.name] for file in of_part])
            parts[part] = ImageSet(torch.from_numpy(images), classes)
            faults += refused
        if faults:
            raise InputError(
                f"data.root={self.root}: {len(faults)} of {len(files)} files cannot be used: "
                f"{first_of(faults)}; allowed are intact still images of unsigned samples of 1 to "
                "16 bits"
            )
        # The same in every locale, which decides how Python decodes the names of files.
        decoded = (os.fsencode(name).decode("utf-8", "surrogateescape") for name in names)
        return ImageDataset(parts["train"], parts["test"], tuple(decoded), parts.get("val"))


def _parts(files: Sequence[Path]) -> dict[str, list[Path]]:
    """The files PART/CLASS/NAME by their part."""
    parts: dict[str, list[Path]] = {}
    for file in files:
        parts.setdefault(file.parts[-3], []).append(file)
    return parts
