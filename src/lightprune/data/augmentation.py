"""Augmentation of whole batches of uint8 images: crops, flips, cutout, CutMix; on any device."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lightprune.errors import check_choice, check_number
from lightprune.rng import named_generator

# Fills a cutout: near zero once images are normalised.
_GREY = 128


class Draws(NamedTuple):
    """The random draws that augment each of some images in an epoch.

    Attributes:
        shifts: int64 (count, 2), vertical and horizontal, 0..2*crop.
        flips: bool (count,).
        centres: float32 (count, 2), vertical and horizontal, 0..1 of the image: of the cutouts.
        mixes: float32 (count, 4), 0..1: whether to mix, the area taken from another image, and
            its centre, vertical and horizontal.
    """

    shifts: Tensor
    flips: Tensor
    centres: Tensor
    mixes: Tensor

    def take(self, images: Tensor) -> "Draws":
        """The draws of the images at these indices."""
        return Draws(*(drawn[images] for drawn in self))

    def to(self, device: torch.device) -> "Draws":
        """The draws on a device."""
        return Draws(*(drawn.to(device) for drawn in self))


@dataclass(frozen=True)
class Augmentation:
    """Crops after padding, horizontal flips, cutout and CutMix.

    Attributes:
        crop: By how many pixels each side is padded before a crop of the original size.
        padding: `reflect` mirrors the image without repeating its edge; `zero` is black.
        flip: `random` flips each image with probability 1/2 in each epoch; `alternate` draws
            once and then flips every image in every other epoch; `none` never flips.
        cutout: Side in pixels of a square that turns grey, around any pixel of the image, so that
            it may hang over the edge (DeVries & Taylor 2017); 0 for none.
        cutmix: Share of the images, 0..1, that get a rectangle of another image of their batch,
            of an area uniform in 0..1, and a label in proportion (Yun et al. 2019, CutMix with
            alpha 1); 0 for none.
    """

    crop: int = 4
    padding: str = "reflect"
    flip: str = "alternate"
    cutout: int = 0
    cutmix: float = 0.0

    def __post_init__(self) -> None:
        check_number("augmentation.crop", self.crop, 0, whole=True)
        check_choice("augmentation.padding", self.padding, ("reflect", "zero"))
        check_choice("augmentation.flip", self.flip, ("random", "alternate", "none"))
        check_number("augmentation.cutout", self.cutout, 0, whole=True)
        check_number("augmentation.cutmix", self.cutmix, 0, 1)

    def draw(self, count: int, seed: int, epoch: int) -> Draws:
        """Makes the draws of `count` images in an epoch; they depend on the arguments alone."""
        generator = named_generator("augmentation", seed, epoch)
        shifts = torch.randint(0, 2 * self.crop + 1, (count, 2), generator=generator)
        centres = torch.rand(count, 2, generator=named_generator("cutouts", seed, epoch))
        mixes = torch.rand(count, 4, generator=named_generator("mixes", seed, epoch))
        if self.flip == "none":
            return Draws(shifts, torch.zeros(count, dtype=torch.bool), centres, mixes)
        if self.flip == "alternate":
            generator = named_generator("flips", seed)
        flips = torch.rand(count, generator=generator) < 0.5
        return Draws(shifts, flips ^ bool(self.flip == "alternate" and epoch % 2), centres, mixes)

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """Crops and flips a batch in one gather, and cuts out.

        Images are uint8, (B, H, W, C); there is one draw an image, on their device.
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
            sides = torch.full((len(images),), self.cutout, device=images.device)
            cut = _rectangles(draws.centres, sides, sides, height, width)
            cropped.masked_fill_(cut[..., None], _GREY)
        return cropped

    def mix(self, images: Tensor, others: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        """Lays rectangles of `others`, the image that each is mixed with, over some: CutMix.

        Returns:
            As `apply`, and float32 (B,): the share of its own pixels in each image.
        """
        _, height, width, _ = images.shape
        chance, area, centres = draws.mixes[:, 0], draws.mixes[:, 1], draws.mixes[:, 2:]
        scale = torch.where(chance < self.cutmix, area.sqrt(), 0)
        tall, wide = ((scale * size).round().long() for size in (height, width))
        covered = _rectangles(centres, tall, wide, height, width)
        mixed = torch.where(covered[..., None], others, images)
        return mixed, 1 - covered.float().mean((1, 2))


def _rectangles(
    centres: Tensor, heights: Tensor, widths: Tensor, height: int, width: int
) -> Tensor:
    """(B, height, width): which pixels are covered by rectangles that may hang over the edge."""
    rows = _interval(centres[:, 0], heights, height)
    return rows[:, :, None] & _interval(centres[:, 1], widths, width)[:, None, :]


def _interval(centres: Tensor, lengths: Tensor, size: int) -> Tensor:
    """(B, size): which pixels lie in intervals of these lengths; centres are 0..1 of the size."""
    first = ((centres * size).floor() - lengths // 2)[:, None]
    pixels = torch.arange(size, device=centres.device)
    return (pixels >= first) & (pixels < first + lengths[:, None])


def _mirror(index: Tensor, size: int) -> Tensor:
    """Reflects indices outside 0..size-1 back inside, without repeating the edge."""
    period = max(2 * (size - 1), 1)
    folded = index.remainder(period)
    return torch.where(folded < size, folded, period - folded)
