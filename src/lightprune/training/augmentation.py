"""Random crops, flips and cutouts of whole batches of uint8 images, wherever the images lie."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.errors import check_choice, check_number
from lightprune.randomness import named_generator

# What a cutout leaves: near zero once images are normalised.
_GREY = 128


@dataclass(frozen=True)
class Draws:
    """What happens to each of some images in an epoch.

    Attributes:
        shifts: int64 (count, 2), vertical and horizontal, 0..2*crop.
        flips: bool (count,).
        centres: float32 (count, 2), vertical and horizontal, 0..1 of the image: of the cutouts.
    """

    shifts: Tensor
    flips: Tensor
    centres: Tensor

    def of(self, images: Tensor) -> "Draws":
        """Those of the images with these numbers."""
        return Draws(self.shifts[images], self.flips[images], self.centres[images])

    def to(self, device: torch.device) -> "Draws":
        """The same on a device."""
        return Draws(self.shifts.to(device), self.flips.to(device), self.centres.to(device))


@dataclass(frozen=True)
class Augmentation:
    """Crops after padding, horizontal flips, and a square cut out.

    Attributes:
        crop: By how many pixels each side is padded before a crop of the original size.
        padding: `reflect` mirrors the image without repeating its edge; `zero` is black.
        flip: `random` flips each image with probability 1/2 in each epoch; `alternate` draws
            once and then flips every image in every other epoch; `none` never flips.
        cutout: Side in pixels of a square that turns grey, around any pixel of the image, so that
            it may hang over the edge (DeVries & Taylor 2017); 0 for none.
    """

    crop: int = 4
    padding: str = "reflect"
    flip: str = "alternate"
    cutout: int = 0

    def __post_init__(self) -> None:
        """Checks every setting."""
        check_number("augmentation.crop", self.crop, 0, whole=True)
        check_choice("augmentation.padding", self.padding, ("reflect", "zero"))
        check_choice("augmentation.flip", self.flip, ("random", "alternate", "none"))
        check_number("augmentation.cutout", self.cutout, 0, whole=True)

    def draw(self, count: int, seed: int, epoch: int) -> Draws:
        """Draws what happens to each of `count` images in an epoch, from the arguments alone."""
        generator = named_generator("augmentation", seed, epoch)
        shifts = torch.randint(0, 2 * self.crop + 1, (count, 2), generator=generator)
        centres = torch.rand(count, 2, generator=named_generator("cutouts", seed, epoch))
        if self.flip == "none":
            return Draws(shifts, torch.zeros(count, dtype=torch.bool), centres)
        if self.flip == "alternate":
            generator = named_generator("flips", seed)
        flips = torch.rand(count, generator=generator) < 0.5
        return Draws(shifts, flips ^ bool(self.flip == "alternate" and epoch % 2), centres)

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """Crops and flips a batch in one gather, and cuts out.

        Args:
            images: uint8, shape (B, H, W, C).
            draws: One an image, on the images' device.

        Returns:
            uint8 of the same shape.
        """
        shifts, flips = draws.shifts, draws.flips
        _, height, width, _ = images.shape
        rows = torch.arange(height, device=images.device) + shifts[:, :1] - self.crop
        columns = torch.arange(width, device=images.device) + shifts[:, 1:] - self.crop
        columns = torch.where(flips[:, None], columns.flip(1), columns)
        batch = torch.arange(len(images), device=images.device)[:, None, None]
        y, x = _mirror(rows, height), _mirror(columns, width)
        cropped = images[batch, y[:, :, None], x[:, None, :]]
        if self.padding == "zero":
            inside = (y == rows)[:, :, None] & (x == columns)[:, None, :]
            cropped = cropped * inside[..., None]
        if self.cutout:
            gone = self._cut(draws.centres[:, 0], height)[:, :, None]
            gone = gone & self._cut(draws.centres[:, 1], width)[:, None, :]
            cropped.masked_fill_(gone[..., None], _GREY)
        return cropped

    def _cut(self, centres: Tensor, size: int) -> Tensor:
        """(B, size): which rows, or columns, the squares cover."""
        first = (centres * size).floor()[:, None] - self.cutout // 2
        place = torch.arange(size, device=centres.device)
        return (place >= first) & (place < first + self.cutout)


def _mirror(index: Tensor, size: int) -> Tensor:
    """Reflects indices outside 0..size-1 back inside, without repeating the edge."""
    period = max(2 * (size - 1), 1)
    folded = index.remainder(period)
    return torch.where(folded < size, folded, period - folded)
