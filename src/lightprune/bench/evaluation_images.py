"""The images on which backends are compared: the test set if there is one, else random ones."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.datasets import CIFAR10

from lightprune.bench.loaded_network import LoadedNetwork
from lightprune.data.image_folder import ImageFolder
from lightprune.data.sources import Cifar10, Digits, Source
from lightprune.errors import InputError
from lightprune.models.spec import ModelSpec

_SOURCES = {f"lightprune.data.{kind.__name__}": kind for kind in (Cifar10, Digits, ImageFolder)}
_PLACES = ("data.root", "data.cache_dir")
_RANDOM = 256


@dataclass(frozen=True)
class EvaluationImages:
    """Images, and their classes if they are real ones.

    Attributes:
        origin: Where they are from, in words.
        images: uint8 (N, H, W, 3), to be normalised, or float32 (N, C, H, W).
        labels: int64 (N,), or None.
        spec: How they are normalised.
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
    """The test images of a network's data set.

    Args:
        loaded: The network.
        root: The folder of the data; None takes the one that the run read.

    Returns:
        The images, and why they are not those of the test set if they are random.

    Raises:
        InputError: At `root` there is no such data, or of other classes.
    """
    try:
        source = _source(loaded, root)
        data, fingerprint = source.load()
        if data.classes != loaded.spec.classes:
            raise InputError(
                f"--data-root={root}: holds the classes {', '.join(data.classes[:3])}, …; allowed "
                f"are the network's: {', '.join(loaded.spec.classes[:3])}, …"
            )
    except InputError as error:
        if root is not None:
            raise
        images = loaded.random_images(_RANDOM)
        reason = f"{error} (--data-root DIR says where the test images lie)"
        return EvaluationImages("random images", images, None, loaded.spec), reason
    origin = "test images"
    recorded = (loaded.record or {}).get("data", {}).get("fingerprint")
    if recorded not in (None, fingerprint):
        origin = "test images, of other data than the run was tested with"
    return EvaluationImages(origin, data.test.images, data.test.labels, loaded.spec), None


def _source(loaded: LoadedNetwork, root: Path | None) -> Source:
    """The data set that lies at `root`, or else that the run used; nothing is downloaded."""
    asked = _asked_by_run(loaded)
    kind = _SOURCES.get(asked.get("_target_", ""))
    if root is not None:
        kind = Cifar10 if (root / CIFAR10.base_folder).is_dir() else ImageFolder
        asked["root"] = str(root)
    if kind is None:
        raise InputError("nothing says which data the network is for")
    settings = {key: asked[key] for key in ("cache_dir",) if key in asked}
    if kind is Cifar10:
        settings["download"] = False
    else:
        settings["size"] = loaded.spec.input_shape[-1]
    if kind is not Digits and "root" in asked:
        settings["root"] = asked["root"]
    return kind(**settings)


def _asked_by_run(loaded: LoadedNetwork) -> dict[str, Any]:
    """The settings of a run's data; its record has those that are places in the command only."""
    record = loaded.record
    if record is None:
        return {}
    words = [word.partition("=") for word in shlex.split(record.get("command", ""))]
    places = {key.removeprefix("data."): value for key, _, value in words if key in _PLACES}
    return {**record["config"]["data"], **places}
