"""Labelled images as uint8 tensors in memory; their fingerprint, stratified split, cache file."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from sklearn.model_selection import train_test_split
from torch import Tensor

from lightprune.errors import InputError
from lightprune.files import read_weights, write_weights


@dataclass(frozen=True)
class ImageSet:
    """Images and their labels.

    Attributes:
        images: uint8, shape (N, H, W, 3).
        labels: int64, shape (N,).
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> "ImageSet":
        """The images at `indices`."""
        return ImageSet(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class ImageDataset:
    """A data set: training and test images, and the names of the classes."""

    train: ImageSet
    test: ImageSet
    classes: tuple[str, ...]

    def fingerprint(self) -> str:
        """A SHA-256 over class names, pixels and labels: equal data <=> equal fingerprint."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for part in (self.train, self.test):
            digest.update(repr(tuple(part.images.shape)).encode())
            digest.update(part.images.numpy().tobytes())
            digest.update(part.labels.numpy().tobytes())
        return digest.hexdigest()


def stratified_split(images: ImageSet, count: int) -> tuple[ImageSet, ImageSet]:
    """Splits `count` images off, stratified by class, always the same ones.

    Returns:
        The remaining images and those split off, both in their original order.

    Raises:
        InputError: A class would be missing on one side.
    """
    try:
        rest, held_out = train_test_split(
            range(len(images)), test_size=count, stratify=images.labels.numpy(), random_state=0
        )
    except ValueError as error:
        raise _unsplittable(images, count) from error
    parts = images.take(torch.tensor(sorted(rest))), images.take(torch.tensor(sorted(held_out)))
    if len({len(torch.unique(part.labels)) for part in parts}) > 1:
        raise _unsplittable(images, count)
    return parts


def _unsplittable(images: ImageSet, count: int) -> InputError:
    return InputError(
        f"data.validation={count}: of {len(images)} training images; allowed is a count that "
        "leaves every class on both sides"
    )


def save_cache(path: Path, data: ImageDataset, fingerprint: str) -> None:
    """Writes decoded images to a cache file, atomically."""
    tensors = {
        "train_images": data.train.images,
        "train_labels": data.train.labels,
        "test_images": data.test.images,
        "test_labels": data.test.labels,
    }
    metadata = {"classes": json.dumps(data.classes), "fingerprint": fingerprint}
    write_weights(path, tensors, metadata)


def load_cache(path: Path) -> tuple[ImageDataset, str] | None:
    """Reads a cache file and its fingerprint back; None if there is none or it is damaged.

    Raises:
        InputError: It may not be read.
    """
    try:
        metadata, parts = read_weights(path)
        data = ImageDataset(
            ImageSet(parts["train_images"], parts["train_labels"]),
            ImageSet(parts["test_images"], parts["test_labels"]),
            tuple(json.loads(metadata["classes"])),
        )
        fingerprint = metadata["fingerprint"]
    except InputError:
        raise
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None
    return (data, fingerprint) if data.fingerprint() == fingerprint else None
