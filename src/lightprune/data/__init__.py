"""Image data: sources, images in memory, augmentation, the Lightning data module."""

from lightprune.data.augmentation import Augmentation
from lightprune.data.datamodule import ImageDataModule
from lightprune.data.digits import Digits
from lightprune.data.image_folder import ImageFolder
from lightprune.data.sources import Cifar10, Source

__all__ = ["Augmentation", "Cifar10", "Digits", "ImageDataModule", "ImageFolder", "Source"]
