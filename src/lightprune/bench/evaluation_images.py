"""The images on which backends are compared: the test set if there is one, else random ones."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torchvision.datasets import CIFAR10

from lightprune.data.image_folder import ImageFolder
from lightprune.data.sources import Cifar10, Source
from lightprune.errors import InputError
from lightprune.export.loaded_network import LoadedNetwork
from lightprune.models.spec import ModelSpec
from lightprune.runs.data_source import data_source, image_cache

_RANDOM = 256


@dataclass(frozen=True)
class EvaluationImages:
    """Images, and their classes if they are real ones.

    Attributes:
        images: uint8 (N, H, W, 3), to be normalised, or float32 (N, C, H, W).
        labels: int64 (N,), or None.
    """

    origin: str
    images: Tensor
    labels: Tensor | None
    spec: ModelSpec

    def batches(self, size: int) -> Iterator[Tensor]:
        """All images in order, float32 (at most `size`, C, H, W), contiguous."""
        # It imports Lightning, which takes seconds.
        from lightprune.data.datamodule import Normalise

        normalise = Normalise(self.spec.mean, self.spec.std)
        for part in torch.split(self.images, size):
            yield (normalise(part) if part.dtype == torch.uint8 else part).contiguous()


def find_evaluation_images(
    loaded: LoadedNetwork, root: Path | None
) -> tuple[EvaluationImages, str | None]:
    """The test images of a network's data set, at `root` or else where the run read them.

    Returns:
        The images, and why they are not those of the test set if they are random.

    Raises:
        InputError: At `root` there is no such data, or of other classes.
    """
    if not loaded.spec.classes:
        if root is not None:
            raise InputError(
                f"--data-root={root}: {loaded.path} does not say how images are normalised; "
                "allowed is a run, or what lightprune export wrote of one"
            )
        return _random(loaded), "classes and normalisation are unknown"
    try:
        source = _source(loaded, root)
        data, fingerprint = source.load()
        if data.classes != loaded.spec.classes:
            where = "the run's data now" if root is None else f"--data-root={root}:"
            raise InputError(
                f"{where} holds the classes {', '.join(data.classes[:3])}, …; allowed "
                f"are the network's: {', '.join(loaded.spec.classes[:3])}, …"
            )
    except InputError as error:
        if root is not None:
            raise
        reason = f"{error} (--data-root DIR says where the test images lie)"
        return _random(loaded), reason
    origin = "test images"
    if loaded.record and loaded.record.data.fingerprint != fingerprint:
        origin = "test images, of other data than the run was tested with"
    return EvaluationImages(origin, data.test.images, data.test.labels, loaded.spec), None


def _random(loaded: LoadedNetwork) -> EvaluationImages:
    return EvaluationImages("random images", loaded.random_images(_RANDOM), None, loaded.spec)


def _source(loaded: LoadedNetwork, root: Path | None) -> Source:
    """The data set that lies at `root`, or else that of the run; nothing is downloaded."""
    if root is None:
        if loaded.record is None:
            raise InputError("nothing says which data the network is for")
        return data_source(loaded.record)
    cache_dir = image_cache(loaded.record)
    if (root / CIFAR10.base_folder).is_dir():
        return Cifar10(root=str(root), download=False, cache_dir=cache_dir)
    return ImageFolder(root=str(root), size=loaded.spec.input_shape[-1], cache_dir=cache_dir)
