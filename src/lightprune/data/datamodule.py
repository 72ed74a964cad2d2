"""The data module: batches sliced, augmented and normalised from tensors in memory."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

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
    """Turns uint8 pixels of shape (B, H, W, 3) into float32 of shape (B, 3, H, W)."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """(pixel / 255 - mean) / std, in channels_last layout."""
        mean = torch.tensor(self.mean, device=images.device)
        std = torch.tensor(self.std, device=images.device)
        return images.float().div_(255).sub_(mean).div_(std).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class RankShard:
    """One process' part of every batch."""

    rank: int
    world: int

    def take(self, indices: Tensor) -> Tensor:
        """The consecutive part of a batch that belongs to this process."""
        return indices.tensor_split(self.world)[self.rank]


@dataclass
class TrainingBatches:
    """Shuffled and augmented batches; an epoch's depend on its seed and number alone.

    Every process shuffles the whole epoch and takes its share of each batch, so that N
    processes together see the very batches that one would. The last, incomplete batch is left
    out. Where images are mixed, each is with the one before it in the whole batch.
    """

    images: ImageSet
    batch_size: int
    augmentation: Augmentation
    normalise: Normalise
    seed: int
    epoch: Callable[[], int]
    shard: RankShard
    classes: int

    def __len__(self) -> int:
        """Batches an epoch."""
        return len(self.images) // self.batch_size

    def __iter__(self) -> Iterator[Batch]:
        """One epoch: images float32 (B, 3, H, W) and labels int64 (B,).

        Where images are mixed, labels are float32 (B, classes): the share of each class.
        """
        epoch, count = self.epoch(), len(self.images)
        device = self.images.images.device
        # Flips alternate by image, so draws belong to images, not to places in the order.
        draws = self.augmentation.draw(count, self.seed, epoch).to(device)
        generator = named_generator("order", self.seed, epoch)
        order = torch.randperm(count, generator=generator)
        for number in range(len(self)):
            batch = order[number * self.batch_size : (number + 1) * self.batch_size]
            mine = self.shard.take(batch).to(device)
            pixels, labels = self._augmented(mine, draws)
            if self.augmentation.cutmix:
                others, theirs = self._augmented(self.shard.take(batch.roll(1)).to(device), draws)
                pixels, kept = self.augmentation.mix(pixels, others, draws.take(mine))
                own, other = (F.one_hot(of, self.classes).float() for of in (labels, theirs))
                labels = torch.lerp(other, own, kept[:, None])
            yield self.normalise(pixels), labels

    def _augmented(self, images: Tensor, draws: Draws) -> Batch:
        """The images with these numbers, uint8 (B, H, W, 3), and their labels."""
        part = self.images.take(images)
        return self.augmentation.apply(part.images, draws.take(images)), part.labels


@dataclass
class EvaluationBatches:
    """All images once, in order; every process takes its share of each batch, without padding."""

    images: ImageSet
    normalise: Normalise
    shard: RankShard
    batch_size: int = EVALUATION_BATCH

    def __len__(self) -> int:
        """Batches an evaluation."""
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """Images float32 (B, 3, H, W) and labels int64 (B,)."""
        for batch in torch.split(torch.arange(len(self.images)), self.batch_size):
            mine = self.images.take(self.shard.take(batch).to(self.images.images.device))
            yield self.normalise(mine.images), mine.labels


class ImageDataModule(LightningDataModule):
    """Serves training, validation and test batches on the trainer's device."""

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
        """Splits the validation set off.

        Args:
            data: The images.
            source: How they are split and normalised.
            batch_size: Images a batch, over all processes together.
            augmentation: Applied to training batches.
            seed: The run's seed.
            rng_key: A name that sets this phase's shuffles apart from those of another phase.
        """
        super().__init__()
        self._train, self._validation = source.splits(data)
        self._test = data.test
        self._classes = len(data.classes)
        self._batch_size = batch_size
        self._augmentation = augmentation
        self._normalise = Normalise(tuple(source.mean), tuple(source.std))
        self._seed = named_seed(rng_key, seed)

    def train_dataloader(self) -> TrainingBatches:
        """Shuffled, augmented batches."""
        return TrainingBatches(
            self._placed(self._train),
            self._batch_size,
            self._augmentation,
            self._normalise,
            self._seed,
            epoch=lambda: self._trainer().current_epoch,
            shard=self._shard(),
            classes=self._classes,
        )

    def val_dataloader(self) -> EvaluationBatches:
        """The validation images."""
        return EvaluationBatches(self._placed(self._validation), self._normalise, self._shard())

    def test_dataloader(self) -> EvaluationBatches:
        """The test images."""
        return EvaluationBatches(self._placed(self._test), self._normalise, self._shard())

    def _trainer(self) -> Trainer:
        assert self.trainer is not None
        return self.trainer

    def _shard(self) -> RankShard:
        return RankShard(self._trainer().global_rank, self._trainer().world_size)

    def _placed(self, images: ImageSet) -> ImageSet:
        device = self._trainer().strategy.root_device
        return ImageSet(images.images.to(device), images.labels.to(device))
