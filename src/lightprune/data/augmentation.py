"""Augmentation of whole batches of uint8 images: geometry, colours, cutout, CutMix; any device."""

import math
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
        affine: float32 (count, 2), -1..1 of the rotation and of the zoom.
        colors: float32 (count, 3), -1..1 of the colours: brightness, contrast, saturation.
    """

    shifts: Tensor
    flips: Tensor
    centres: Tensor
    mixes: Tensor
    affine: Tensor
    colors: Tensor

    def take(self, images: Tensor) -> "Draws":
        """The draws of the images at these indices."""
        return Draws(*(drawn[images] for drawn in self))

    def to(self, device: torch.device) -> "Draws":
        """The draws on a device."""
        return Draws(*(drawn.to(device) for drawn in self))


@dataclass(frozen=True)
class Augmentation:
    """Rotations, zooms, crops after padding and flips; colours, cutout and CutMix, in this order.

    Attributes:
        crop: By how many pixels each side is padded before a crop of the original size.
        padding: What crops, rotations and zooms bring into view from outside: `reflect` mirrors the
            image without repeating its edge; `zero` is black.
        flip: `random` flips each image with probability 1/2 in each epoch; `alternate` draws
            once and then flips every image in every other epoch; `none` never flips.
        cutout: Side in pixels of a square that turns grey, around any pixel of the image, so that
            it may hang over the edge (DeVries & Taylor 2017); 0 for none.
        cutmix: Share of the images, 0..1, that get a rectangle of another image of their batch,
            of an area uniform in 0..1, and a label in proportion (Yun et al. 2019, CutMix with
            alpha 1); 0 for none.
        rotation: Degrees, 0..180; each image is turned about its centre by an angle uniform in
            -rotation..rotation, before the crop; no pixels are blended.
        zoom: Each image is magnified by a factor log-uniform in 1/(1+zoom)..1+zoom; 0..10.
        color: 0..1; brightness, contrast and saturation are scaled by a factor each, uniform in
            1-color..1+color (torchvision's ColorJitter, in this order).
    """

    crop: int = 4
    padding: str = "reflect"
    flip: str = "alternate"
    cutout: int = 0
    cutmix: float = 0.0
    rotation: float = 0.0
    zoom: float = 0.0
    color: float = 0.0

    def __post_init__(self) -> None:
        check_number("augmentation.crop", self.crop, 0, whole=True)
        check_choice("augmentation.padding", self.padding, ("reflect", "zero"))
        check_choice("augmentation.flip", self.flip, ("random", "alternate", "none"))
        check_number("augmentation.cutout", self.cutout, 0, whole=True)
        check_number("augmentation.cutmix", self.cutmix, 0, 1)
        check_number("augmentation.rotation", self.rotation, 0, 180)
        check_number("augmentation.zoom", self.zoom, 0, 10)
        check_number("augmentation.color", self.color, 0, 1)

    def draw(self, count: int, seed: int, epoch: int) -> Draws:
        """Makes the draws of `count` images in an epoch; they depend on the arguments alone."""
        generator = named_generator("augmentation", seed, epoch)
        shifts = torch.randint(0, 2 * self.crop + 1, (count, 2), generator=generator)
        centres = torch.rand(count, 2, generator=named_generator("cutouts", seed, epoch))
        mixes = torch.rand(count, 4, generator=named_generator("mixes", seed, epoch))
        affine = torch.rand(count, 2, generator=named_generator("affine", seed, epoch)) * 2 - 1
        colors = torch.rand(count, 3, generator=named_generator("colors", seed, epoch)) * 2 - 1
        if self.flip == "alternate":
            generator = named_generator("flips", seed)
        flips = torch.rand(count, generator=generator) < (0 if self.flip == "none" else 0.5)
        flips ^= self.flip == "alternate" and epoch % 2 == 1
        return Draws(shifts, flips, centres, mixes, affine, colors)

    def apply(self, images: Tensor, draws: Draws) -> Tensor:
        """Turns, zooms, crops and flips a batch in one gather, changes colours and cuts out.

        Images are uint8, (B, H, W, 3) or (B, H, W, 1); there is one draw an image, on their device.
        """
        _, height, width, _ = images.shape
        batch = torch.arange(len(images), device=images.device)[:, None, None]
        rows, columns = self._sources(draws, height, width)
        y, x = _mirror(rows, height), _mirror(columns, width)
        augmented = images[batch, y, x]
        if self.padding == "zero":
            augmented = augmented * ((y == rows) & (x == columns))[..., None]
        if self.color:
            augmented = _recolored(augmented, 1 + self.color * draws.colors)
        if self.cutout:
            sides = torch.full((len(images),), self.cutout, device=images.device)
            cut = _rectangles(draws.centres, sides, sides, height, width)
            augmented.masked_fill_(cut[..., None], _GREY)
        return augmented

    def _sources(self, draws: Draws, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Rows and columns, int64, that broadcast to (B, H, W): where each pixel is taken from.

        Those outside the image are padding.
        """
        shifts = draws.shifts[..., None] - self.crop
        rows = (torch.arange(height, device=shifts.device) + shifts[:, 0])[:, :, None]
        columns = (torch.arange(width, device=shifts.device) + shifts[:, 1])[:, None, :]
        columns = torch.where(draws.flips[:, None, None], columns.flip(2), columns)
        if not self.rotation and not self.zoom:
            return rows, columns
        angle, zoom = draws.affine.unsqueeze(-1).unsqueeze(-1).unbind(1)
        angle = angle * math.radians(self.rotation)
        # Not as a power, whose last bits depend on an image's place in the batch.
        factor = torch.exp(-zoom * math.log1p(self.zoom))
        sine, cosine = angle.sin() * factor, angle.cos() * factor
        middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
        down, right = rows - middle_row, columns - middle_column
        rows = (middle_row + cosine * down - sine * right).round().long()
        return rows, (middle_column + sine * down + cosine * right).round().long()

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


def _recolored(images: Tensor, factors: Tensor) -> Tensor:
    """Scales brightness, contrast and saturation of uint8 (B, H, W, C) by factors (B, 3)."""
    brightness, contrast, saturation = factors[..., None, None, None].unbind(1)
    pixels = (images * brightness).clamp_(max=255)
    pixels = torch.lerp(_luma(pixels).mean((1, 2, 3), keepdim=True), pixels, contrast)
    pixels = pixels.clamp_(0, 255)
    pixels = torch.lerp(_luma(pixels), pixels, saturation)
    return pixels.clamp_(0, 255).round_().byte()


def _luma(pixels: Tensor) -> Tensor:
    """(B, H, W, 1): the grey of float images; of one channel itself, as the shares add up to 1."""
    return (pixels * pixels.new_tensor([0.299, 0.587, 0.114])).sum(-1, keepdim=True)
