"""The images of a scan: some of the run's training batches, and some of its validation images."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from lightprune.data.augmentation import Augmentation
from lightprune.data.datamodule import EvaluationBatches, Normalise, RankShard, TrainingBatches
from lightprune.errors import InputError, check_number
from lightprune.models.spec import ModelSpec
from lightprune.rng import named_generator, named_seed
from lightprune.runs.data_source import data_source
from lightprune.runs.instantiate import instantiate_safely
from lightprune.runs.record import RunRecord

# Statistics of so many images at a time are near those of training, whatever its batch size is.
_CALIBRATION_BATCH = 128
_ALONE = RankShard(0, 1)


@dataclass(frozen=True)
class SampleSize:
    """How many images are looked at.

    Attributes:
        images: Validation images that accuracy is measured on, if there are as many.
        batches: Training batches, of 128 images, that batch norm is recalibrated on.
        root: Where the data lies; None takes the place that the run read it from.
    """

    images: int = 1000
    batches: int = 4
    root: Path | None = None

    def __post_init__(self) -> None:
        check_number("--images", self.images, 1, whole=True)
        check_number("--batches", self.batches, 1, whole=True)


def load_calibration_data(
    record: RunRecord, spec: ModelSpec, sample: SampleSize, device: torch.device
) -> tuple[tuple[Tensor, ...], EvaluationBatches, tuple[str, ...]]:
    """Reads images of the data set that a run was trained on; the test set is never among them.

    Returns:
        Batches of normalised training images, float32 (B, 3, H, W), augmented as in fine-tuning;
        normalised validation images, or without such training images, with their labels; what one
        should know of them.

    Raises:
        InputError: The data is not there, is other data, or has not as many batches.
    """
    source = data_source(record, sample.root)
    try:
        data, fingerprint = source.load()
    except InputError as error:
        raise InputError(f"{error} (--data-root DIR says where the images lie)") from error
    if fingerprint != record.data.fingerprint:
        raise InputError(
            f"data.root={getattr(source, 'root', None)}: holds other images than the run was "
            "trained on; allowed are the same (--data-root DIR says where they lie)"
        )
    train, validation = source.splits(data)
    notes: tuple[str, ...] = ()
    if isinstance(source.validation, str):
        validation = train
        where = "on the test set" if source.validation == "test" else "on no images"
        notes = (f"the run validated {where}: accuracy here is that on training images",)
    normalise = Normalise(spec.mean, spec.std)
    augmentation = record.config["recipe"]["finetune"]["augmentation"]
    training = TrainingBatches(
        train.to(device),
        min(_CALIBRATION_BATCH, len(train)),
        instantiate_safely(augmentation, Augmentation, "recipe.finetune.augmentation"),
        normalise,
        named_seed("sensitivity", record.config["seed"]),
        epoch=lambda: 0,
        shard=_ALONE,
        classes=len(data.classes),
    )
    check_number("--batches", sample.batches, 1, len(training), whole=True)
    order = torch.randperm(len(validation), generator=named_generator("sensitivity"))
    sampled = validation.take(order[: sample.images].sort().values).to(device)
    calibration = tuple(images for images, _ in islice(training, sample.batches))
    return calibration, EvaluationBatches(sampled, normalise, _ALONE), notes
