"""Images: where they come from, how they lie in memory, how a batch is drawn and augmented."""

from lightprune.data.augmentation import Augmentation
from lightprune.data.datamodule import ImageDataModule
from lightprune.data.image_folder import ImageFolder
from lightprune.data.sources import Cifar10, Digits, Source

__all__ = ["Augmentation", "Cifar10", "Digits", "ImageDataModule", "ImageFolder", "Source"]
