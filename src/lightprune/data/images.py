"""Labelled images as uint8 tensors in memory; their fingerprint and cache file."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from lightprune.errors import InputError
from lightprune.files import read_weights, write_weights


@dataclass(frozen=True)
class ImageSet:
    """Images, uint8 of shape (N, H, W, 3), and their labels, int64 of shape (N,)."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: Tensor) -> "ImageSet":
        """The images at `indices`."""
        return ImageSet(self.images[indices], self.labels[indices])

    def to(self, device: torch.device) -> "ImageSet":
        """The images on a device."""
        return ImageSet(self.images.to(device), self.labels.to(device))


@dataclass(frozen=True)
class ImageDataset:
    """A data set; without validation images, these are to be split off the training images."""

    train: ImageSet
    test: ImageSet
    classes: tuple[str, ...]
    validation: ImageSet | None = None

    @property
    def parts(self) -> dict[str, ImageSet]:
        """The images that are there, by the name of their part."""
        parts = {"train": self.train, "test": self.test}
        return parts if self.validation is None else {**parts, "validation": self.validation}

    def fingerprint(self) -> str:
        """A SHA-256 over class names, pixels and labels: equal data <=> equal fingerprint."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for part in self.parts.values():
            digest.update(repr(tuple(part.images.shape)).encode())
            digest.update(part.images.numpy().tobytes())
            digest.update(part.labels.numpy().tobytes())
        return digest.hexdigest()


def save_cache(path: Path, data: ImageDataset, fingerprint: str) -> None:
    """Writes decoded images to a cache file, atomically."""
    tensors = {
        f"{name}_{kind}": tensor
        for name, part in data.parts.items()
        for kind, tensor in (("images", part.images), ("labels", part.labels))
    }
    metadata = {"classes": json.dumps(data.classes), "fingerprint": fingerprint}
    write_weights(path, tensors, metadata)


def load_cache(path: Path) -> tuple[ImageDataset, str] | None:
    """Reads a cache file and its fingerprint back; None if there is none or it is damaged."""
    try:
        metadata, tensors = read_weights(path)
        parts = {
            name: ImageSet(tensors[f"{name}_images"], tensors[f"{name}_labels"])
            for name in {key.rpartition("_")[0] for key in tensors}
        }
        data = ImageDataset(**parts, classes=tuple(json.loads(metadata["classes"])))
        fingerprint = metadata["fingerprint"]
    except InputError:
        raise
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None
    return (data, fingerprint) if data.fingerprint() == fingerprint else None
