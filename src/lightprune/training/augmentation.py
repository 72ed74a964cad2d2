"""Random crops and flips of whole batches of uint8 images, wherever the images lie."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.errors import check_choice, check_number
from lightprune.randomness import named_generator


@dataclass(frozen=True)
class Augmentation:
    """Crops after padding, and horizontal flips.

    Attributes:
        crop: By how many pixels each side is padded before a crop of the original size.
        padding: `reflect` mirrors the image without repeating its edge; `zero` is black.
        flip: `random` flips each image with probability 1/2 in each epoch; `alternate` draws
            once and then flips every image in every other epoch; `none` never flips.
    """

    crop: int = 4
    padding: str = "reflect"
    flip: str = "alternate"

    def __post_init__(self) -> None:
        """Checks every setting."""
        check_number("augmentation.crop", self.crop, 0, whole=True)
        check_choice("augmentation.padding", self.padding, ("reflect", "zero"))
        check_choice("augmentation.flip", self.flip, ("random", "alternate", "none"))

    def draw(self, count: int, seed: int, epoch: int) -> tuple[Tensor, Tensor]:
        """Draws what happens to each of `count` images in an epoch.

        Returns:
            Shifts, int64 of shape (count, 2): vertical and horizontal, 0..2*crop; flips, bool of
            shape (count,). Both depend on the arguments alone.
        """
        generator = named_generator("augmentation", seed, epoch)
        shifts = torch.randint(0, 2 * self.crop + 1, (count, 2), generator=generator)
        if self.flip == "none":
            return shifts, torch.zeros(count, dtype=torch.bool)
        if self.flip == "alternate":
            generator = named_generator("flips", seed)
        flips = torch.rand(count, generator=generator) < 0.5
        return shifts, flips ^ bool(self.flip == "alternate" and epoch % 2)

    def apply(self, images: Tensor, shifts: Tensor, flips: Tensor) -> Tensor:
        """Crops and flips a batch, in one gather.

        Args:
            images: uint8, shape (B, H, W, C).
            shifts: As drawn, shape (B, 2), on the images' device.
            flips: As drawn, shape (B,), on the images' device.

        Returns:
            uint8 of the same shape.
        """
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
        return cropped


def _mirror(index: Tensor, size: int) -> Tensor:
    """Reflects indices outside 0..size-1 back inside, without repeating the edge."""
    period = max(2 * (size - 1), 1)
    folded = index.remainder(period)
    return torch.where(folded < size, folded, period - folded)
