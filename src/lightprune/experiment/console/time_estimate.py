"""How long a run will take, by what has been measured: a training step, or the dense epochs."""

from collections.abc import Mapping
from pathlib import Path

from lightprune.errors import InputError
from lightprune.experiment.preflight import CheckedRun
from lightprune.files import read_csv
from lightprune.rendering.number_format import about
from lightprune.runs.record import read_dense_record
from lightprune.training.checkpoints import LAST
from lightprune.training.recipe import Phase

# A forward pass takes about a third of a training step.
_FORWARD = 1 / 3


def estimated_time(
    checked: CheckedRun, folder: Path, image_seconds: Mapping[str, float]
) -> str | None:
    """What is left of a run, `about 12 min`, and by what; None without a ground to say it.

    Args:
        checked: The run.
        folder: Of the run; epochs that it and the cache hold are not counted.
        image_seconds: Of training on one image, by the phase's name in the recipe, as measured.
    """
    recipe, dense = checked.settings.recipe, checked.settings.recipe.dense
    finetuning = recipe.finetune.epochs - _epochs_done(folder)
    if not checked.needs_dense_training:
        by_epochs = _seconds_of_dense_image(checked)
        if by_epochs is not None:
            images = checked.setup.epoch_images(recipe.finetune)
            left = finetuning * by_epochs * images * _passes(recipe.finetune) / _passes(dense)
            return f"{about(left)}, by the epochs of the dense training"
    if not image_seconds:
        return None
    phases: list[tuple[str, Phase, int]] = [("finetune", recipe.finetune, finetuning)]
    if checked.dense_folder is not None and checked.needs_dense_training:
        phases.append(("dense", dense, dense.epochs - _epochs_done(checked.dense_folder)))
        if (teacher := checked.dense.teacher) and not teacher.is_complete:
            phases.append(("dense", teacher.phase, dense.epochs))
    _, validation = checked.setup.source.splits(checked.setup.data)
    forward = _FORWARD * len(validation)
    left = sum(
        epochs
        * image_seconds[name]
        * (_passes(phase) * checked.setup.epoch_images(phase) + forward)
        for name, phase, epochs in phases
    )
    return f"{about(left)}, estimated from one training step"


def _passes(phase: Phase) -> float:
    """What an image of a phase takes, in training steps: a teacher adds its forward pass."""
    return 1 + _FORWARD * bool(phase.distillation.weight)


def _seconds_of_dense_image(checked: CheckedRun) -> float | None:
    """Of the dense network's training, validation included; None if it is not in the cache."""
    if checked.dense_folder is None:
        return None
    try:
        record = read_dense_record(checked.dense_folder / "dense.json")
    except (InputError, OSError, TypeError, ValueError):
        return None
    images = record.epochs * checked.setup.epoch_images(checked.settings.recipe.dense)
    return record.seconds / images if images and record.seconds else None


def _epochs_done(folder: Path) -> int:
    if not (folder / "checkpoints" / LAST).exists():
        return 0
    try:
        return len(read_csv(folder / "metrics.csv"))
    except (InputError, OSError, ValueError):
        return 0
