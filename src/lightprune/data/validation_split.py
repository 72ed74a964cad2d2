"""Which training images are for validation: always the same ones, of every class."""

import torch
from sklearn.model_selection import train_test_split

from lightprune.data.images import ImageSet
from lightprune.errors import InputError, first_of

# Of the training images, where nothing says how many are for validation: a tenth, at most so many.
_SHARE, _MOST = 0.1, 5000


class SplitError(InputError):
    """The validation set does not fit the training images."""


def stratified_split(images: ImageSet, count: int) -> tuple[ImageSet, ImageSet]:
    """Splits `count` images off, stratified by class, always the same ones.

    Returns:
        The remaining images and those split off, both in their original order.

    Raises:
        SplitError: A class would be missing on one side.
    """
    parts = _split(images, count)
    if parts is None:
        raise SplitError(
            f"data.validation={count}: of {len(images)} training images; allowed is a count that "
            "leaves every class on both sides"
        )
    return parts


def check_class_sizes(images: ImageSet, classes: tuple[str, ...], validation: object) -> None:
    """Raises InputError unless every class has an image for training and one for validation."""
    counts = torch.bincount(images.labels, minlength=len(classes)).tolist()
    few = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < 2]
    if few:
        raise InputError(
            f"data.validation={'null' if validation is None else validation}: {len(few)} of "
            f"{len(classes)} classes have too few training images to split: {first_of(few)}; "
            "allowed are at least 2 a class (1 stays, 1 is for validation), or validation images "
            "of your own (val/CLASS/* of data=images), or data.validation=test"
        )


def default_count(images: ImageSet) -> int:
    """How many training images, two a class or more, are for validation: see `data.validation`."""
    count = max(len(torch.bincount(images.labels)), min(_MOST, round(_SHARE * len(images))))
    while count < len(images) // 2:
        if _split(images, count) is not None:
            return count
        count *= 2
    return len(images) // 2


def _split(images: ImageSet, count: int) -> tuple[ImageSet, ImageSet] | None:
    """The images without `count` of them, and those; None if a class is missing on one side."""
    try:
        rest, held_out = train_test_split(
            range(len(images)), test_size=count, stratify=images.labels.numpy(), random_state=0
        )
    except ValueError:
        return None
    parts = images.take(torch.tensor(sorted(rest))), images.take(torch.tensor(sorted(held_out)))
    return parts if len({len(torch.unique(part.labels)) for part in parts}) == 1 else None
