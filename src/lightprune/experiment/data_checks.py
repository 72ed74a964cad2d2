"""Whether validation set and batches fit the number of images; if not, values that do."""

from dataclasses import replace
from typing import Any

from lightprune.data.images import ImageDataset
from lightprune.data.validation_split import SplitError, check_class_sizes, default_count
from lightprune.errors import InputError
from lightprune.experiment.config import Settings
from lightprune.rendering.number_format import counted

# Fewer steps an epoch are no training: what is proposed leaves so many.
_STEPS = 4


def resolve_data_sizes(settings: Settings, data: ImageDataset) -> Settings:
    """Checks validation set and batches against the data.

    Returns:
        The settings with the number of validation images where it follows from the data.

    Raises:
        InputError: Some do not fit: all of them, and values that fit together.
    """
    train, validation, fault = _counts(settings, data)
    wrong: dict[str, Any] = {}
    right: dict[str, Any] = {}
    if fault:
        wrong["data.validation"], right["data.validation"] = settings.source.validation, validation
    phases = {"dense": settings.recipe.dense, "finetune": settings.recipe.finetune}
    if not settings.trains_dense:
        del phases["dense"]  # It does not train.
    least = {"dense": 1, "finetune": max(1, *_batches_needed(settings).values())}
    sizes = {}
    for name, phase in phases.items():
        sizes[name] = phase.batch_size
        if phase.batch_size > train:
            key = f"recipe.{name}.batch_size"
            sizes[name] = _batch_size(train, settings.trainer_config.processes, least[name])
            wrong[key], right[key] = phase.batch_size, sizes[name]
    available = train // sizes["finetune"]
    few = {name: count for name, count in _batches_needed(settings).items() if count > available}
    if wrong:
        wrong |= few
        right |= dict.fromkeys(few, available)
        held_out = f" ({validation} more are for validation)" if validation and not fault else ""
        number = len(data.train) if fault else train
        raise InputError(
            f"{_listed(wrong, ', ')}: {'does' if len(wrong) == 1 else 'do'} not fit {number} "
            f"training images of "
            f"{len(data.classes)} classes{held_out}; these fit: {_listed(right, ' ')}"
        )
    for name, count in few.items():
        raise InputError(
            f"{name}={count}: an epoch has {counted(available, 'batch')}; allowed are no more"
        )
    if settings.schedule is not None and settings.schedule.every_n_steps is not None:
        settings = _with_plan_of_steps(settings, train)
    if settings.source.validation is not None or data.validation is not None:
        return settings
    source = replace(settings.source, validation=validation)
    config = {**settings.identity["data"], "validation": validation}
    return replace(settings, source=source, identity={**settings.identity, "data": config})


def _with_plan_of_steps(settings: Settings, images: int) -> Settings:
    trainer, size = settings.trainer_config, settings.recipe.finetune.batch_size
    limit = trainer.limit_batches
    try:
        return settings.with_plan(trainer.steps_per_epoch(images, size))
    except InputError as error:
        if limit is None or limit >= images // size:
            raise
        raise InputError(f"{error}, or more than trainer.limit_batches={limit}") from error


def _counts(settings: Settings, data: ImageDataset) -> tuple[int, int, bool]:
    """Images for training, for validation, and whether these are not those of the setting."""
    source = settings.source
    if data.validation is None and not isinstance(source.validation, str):
        # Without two images a class no value fits.
        check_class_sizes(data.train, data.classes, source.validation)
        try:
            train, validation = source.splits(data)
        except SplitError:
            count = default_count(data.train)
            return len(data.train) - count, count, True
        return len(train), len(validation), False
    return len(source.splits(data)[0]), 0, False


def _batches_needed(settings: Settings) -> dict[str, int]:
    pruner = settings.pruner
    return {
        "recipe.finetune.recalibrate": settings.recipe.finetune.recalibrate,
        "pruner.criterion.batches": getattr(pruner and pruner.criterion, "batches", 0),
        "pruner.regrowth.batches": getattr(pruner and pruner.regrowth, "batches", 0),
    }


def _batch_size(train: int, processes: int, least: int) -> int:
    """For `least` batches an epoch, better a few steps; batch norms want two images a process."""
    size = processes * (2 if train >= 2 * processes * least else 1)
    if size > train:
        raise InputError(
            f"trainer: {train} training images are too few for {processes} processes; allowed "
            "are at most as many processes as images"
        )
    while 2 * size <= train // max(least, _STEPS):
        size *= 2
    return size


def _listed(values: dict[str, Any], separator: str) -> str:
    return separator.join(f"{key}={value}" for key, value in values.items())
