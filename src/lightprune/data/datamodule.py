"""The Lightning data module: batches sliced, augmented and normalised from images in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from lightning import LightningDataModule, Trainer
from torch import Tensor

from lightprune.data.augmentation import Augmentation, Draws
from lightprune.data.images import ImageDataset, ImageSet
from lightprune.data.sources import Source
from lightprune.rng import named_generator, named_seed

Batch = tuple[Tensor, Tensor]
EVALUATION_BATCH = 500


@dataclass(frozen=True)
class Normalise:
    """Normalises images by channel, from uint8 (B, H, W, 3) to float32 (B, 3, H, W)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """(pixel / 255 - mean) / std, in channels_last layout."""
        mean = torch.tensor(self.mean, device=images.device)
        std = torch.tensor(self.std, device=images.device)
        return images.float().div_(255).sub_(mean).div_(std).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class RankShard:
    """The consecutive part of every batch that one process takes."""

    rank: int
    world: int

    def take(self, indices: Tensor) -> Tensor:
        return indices.tensor_split(self.world)[self.rank]


@dataclass
class TrainingBatches:
    """Shuffled and augmented batches of an epoch; they depend on seed and epoch alone.

    Every process shuffles the whole epoch and takes its shard of each batch, so that N
    processes together see the very batches that one would. The last, incomplete batch is left
    out. Where images are mixed, each is with the one before it in the whole batch.

    Attributes:
        processed: How many batches of the running epoch have been trained on; a trainer that
            resumes within an epoch goes on after them.
    """

    images: ImageSet
    batch_size: int
    augmentation: Augmentation
    normalise: Normalise
    seed: int
    epoch: Callable[[], int]
    shard: RankShard
    classes: int
    processed: Callable[[], int] = lambda: 0
    _resumed: dict[str, int] = field(default_factory=dict, init=False)

    def __len__(self) -> int:
        return len(self.images) // self.batch_size

    def state_dict(self) -> dict[str, int]:
        """The epoch, and how many of its batches have been trained on."""
        return {"epoch": self.epoch(), "batches": self.processed()}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Has the next iteration, if it is of the same epoch, leave those batches out."""
        self._resumed = state_dict

    def __iter__(self) -> Iterator[Batch]:
        """One epoch: images float32 (B, 3, H, W) and labels int64 (B,).

        Where images are mixed, labels are float32 (B, classes): the share of each class.
        """
        epoch, count = self.epoch(), len(self.images)
        device = self.images.images.device
        # Flips alternate by image, so draws belong to images, not to the order of the batches.
        draws = self.augmentation.draw(count, self.seed, epoch).to(device)
        generator = named_generator("order", self.seed, epoch)
        order = torch.randperm(count, generator=generator)
        resumed, self._resumed = self._resumed, {}
        first = resumed["batches"] if resumed.get("epoch") == epoch else 0
        for number in range(first, len(self)):
            batch = order[number * self.batch_size : (number + 1) * self.batch_size]
            indices = self.shard.take(batch).to(device)
            pixels, labels = self._augmented(indices, draws)
            if self.augmentation.cutmix:
                previous = self.shard.take(batch.roll(1)).to(device)
                others, other_labels = self._augmented(previous, draws)
                pixels, share = self.augmentation.mix(pixels, others, draws.take(indices))
                one_hot, other = (
                    F.one_hot(of, self.classes).float() for of in (labels, other_labels)
                )
                labels = torch.lerp(other, one_hot, share[:, None])
            yield self.normalise(pixels), labels

    def _augmented(self, indices: Tensor, draws: Draws) -> Batch:
        """Images uint8 (B, H, W, 3), and their labels."""
        part = self.images.take(indices)
        return self.augmentation.apply(part.images, draws.take(indices)), part.labels


@dataclass
class EvaluationBatches:
    """All images once, in order; every process takes its shard of each batch, without padding."""

    images: ImageSet
    normalise: Normalise
    shard: RankShard
    batch_size: int = EVALUATION_BATCH

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Images float32 (B, 3, H, W) and labels int64 (B,)."""
        for batch in torch.split(torch.arange(len(self.images)), self.batch_size):
            part = self.images.take(self.shard.take(batch).to(self.images.images.device))
            yield self.normalise(part.images), part.labels


class ImageDataModule(LightningDataModule):
    """Serves training, validation and test batches on the trainer's device.

    `batch_size` counts the images of all processes together; `rng_key` keeps the shuffles of this
    phase apart from those of another.
    """

    def __init__(
        self,
        data: ImageDataset,
        source: Source,
        *,
        batch_size: int,
        augmentation: Augmentation,
        seed: int,
        rng_key: str,
    ) -> None:
        super().__init__()
        self._train, self._validation = source.splits(data)
        self._test = data.test
        self._classes = len(data.classes)
        self._batch_size = batch_size
        self._augmentation = augmentation
        self._normalise = Normalise(tuple(source.mean), tuple(source.std))
        self._seed = named_seed(rng_key, seed)
        self._placed: dict[tuple[int, torch.device], ImageSet] = {}

    def train_dataloader(self) -> TrainingBatches:
        return TrainingBatches(
            self._on_device(self._train),
            self._batch_size,
            self._augmentation,
            self._normalise,
            self._seed,
            epoch=lambda: self._trainer().current_epoch,
            shard=self._shard(),
            classes=self._classes,
            processed=self._processed,
        )

    def val_dataloader(self) -> EvaluationBatches:
        return EvaluationBatches(self._on_device(self._validation), self._normalise, self._shard())

    def test_dataloader(self) -> EvaluationBatches:
        return EvaluationBatches(self._on_device(self._test), self._normalise, self._shard())

    def _trainer(self) -> Trainer:
        assert self.trainer is not None
        return self.trainer

    def _processed(self) -> int:
        current: Any = self._trainer().fit_loop.epoch_loop.batch_progress.current
        return int(current.processed)

    def _shard(self) -> RankShard:
        return RankShard(self._trainer().global_rank, self._trainer().world_size)

    def _on_device(self, images: ImageSet) -> ImageSet:
        """The images on the trainer's device: copied there once, however many loaders are made."""
        device = self._trainer().strategy.root_device
        key = id(images), device
        if key not in self._placed:
            self._placed[key] = images.to(device)
        return self._placed[key]
