"""A finished run folder, read as a whole: record, CSV files and predictions, cross-checked."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Any

import msgspec

from lightprune.errors import first_line
from lightprune.files import read_csv
from lightprune.pruning.cost.cost_report import LayerCost
from lightprune.runs.folder import RunFolder
from lightprune.runs.paired_counts import PairedCounts
from lightprune.runs.predictions import read_predictions
from lightprune.runs.record import DenseRecord, RunRecord, read_dense_record


class DamagedError(ValueError):
    """A run folder lacks something, or contradicts itself; the message says what."""


@dataclass(frozen=True)
class Predictions:
    """Labels and predicted classes of the test images, in the order of the data set."""

    labels: tuple[int, ...]
    predicted: tuple[int, ...]

    @cached_property
    def correct(self) -> tuple[bool, ...]:
        """Whether each image is classified correctly."""
        return tuple(a == b for a, b in zip(self.labels, self.predicted, strict=True))

    def recalls(self, classes: int) -> list[float]:
        """Recall of each class; 0 for a class without images."""
        images, hits = Counter(self.labels), Counter(compress(self.labels, self.correct))
        return [hits[i] / images[i] if images[i] else 0.0 for i in range(classes)]

    @classmethod
    def read(cls, path: Path, correct: int, images: int) -> "Predictions":
        """Reads predictions.csv and checks it against the counts of its record.

        Raises:
            DamagedError: It is missing, unreadable or of another network.
        """
        try:
            predictions = cls(*read_predictions(path))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"{path.name} cannot be read ({_reason(error)})") from error
        counts = sum(predictions.correct), len(predictions.labels)
        if counts != (correct, images):
            raise DamagedError(
                f"{path.name} has {counts[0]} of {counts[1]} images right, the record says "
                f"{correct} of {images}"
            )
        return predictions


@dataclass(frozen=True)
class FinishedRun(RunRecord):
    """The record of a finished run and the other files of its folder.

    Attributes:
        folder: Path relative to the folder of runs that was read.
        curve: Validation accuracy after each epoch of fine-tuning; empty without validation.
        layers: Counts by prunable parameter.
        dense_folder: The dense network's in the cache; None if that is not available.
        dense_predictions: On the test images; None without `dense_folder`.
        dense_curve: Validation accuracy after each epoch of the dense training; empty without
            validation or `dense_folder`.
    """

    folder: str
    curve: tuple[float, ...]
    layers: dict[str, LayerCost]
    predictions: Predictions
    dense_folder: Path | None = None
    dense_predictions: Predictions | None = None
    dense_curve: tuple[float, ...] = ()

    @property
    def reached_mac_share(self) -> float | None:
        """The share of the dense MACs that reachable weights do; None if it is unknown."""
        reached = [layer.macs_reached for layer in self.layers.values()]
        known = [macs for macs in reached if macs is not None]
        return sum(known) / self.cost.macs if self.cost.macs and known == reached else None

    @property
    def seed(self) -> int:
        """Of everything random."""
        return int(self.config["seed"])


def read_run(path: Path, name: str, dense_folders: tuple[Path, ...]) -> FinishedRun:
    """Reads a complete run folder, that a report calls `name`.

    `dense_folders` are caches of dense networks, which may hold the run's by its key.

    Raises:
        DamagedError: A file is missing, unreadable or contradicts run.json.
        InputError: run.json is damaged or of another version.
    """
    folder = RunFolder(path)
    record = folder.record()
    if record is None:
        raise DamagedError("is not finished")
    test = record.test
    try:
        layers = _layers(folder.layers_file)
        curve = _curve(folder.metrics_file)
    except KeyError as error:
        raise DamagedError(f"lacks {error}") from error
    except (OSError, TypeError, ValueError) as error:
        raise DamagedError(_reason(error)) from error
    predictions = Predictions.read(folder.predictions_file, test.correct, test.images)
    if sum(layers.values(), LayerCost(0, 0, 0, 0, 0, 0, 0)) != record.cost:
        raise DamagedError("layers.csv does not sum up to run.json")
    dense = _dense_files(record.dense, dense_folders)
    return FinishedRun(
        **vars(record), folder=name, curve=curve, layers=layers, predictions=predictions, **dense
    )


def paired_with_dense(record: RunRecord, path: Path) -> PairedCounts | None:
    """How a run, in the folder `path`, and its dense network compare by image; None if unknown."""
    caches = [Path(record.paths[key]) for key in ("dense.cache_dir",) if key in record.paths]
    dense = _dense_files(record.dense, tuple(caches)).get("dense_predictions")
    try:
        run = Predictions.read(
            RunFolder(path).predictions_file, record.test.correct, record.test.images
        )
    except DamagedError:
        return None
    if dense is None or dense.labels != run.labels:
        return None
    return PairedCounts.of(run.correct, dense.correct)


def _dense_files(record: DenseRecord, caches: tuple[Path, ...]) -> dict[str, Any]:
    """Fields of FinishedRun from the first cache that holds this very dense network."""
    # Trained elsewhere, a network of the same key has other weights, and is kept beside the first.
    for folder in (cache / name for cache in caches for name in record.folder_names):
        try:
            if read_dense_record(folder / "dense.json").weights_sha256 == record.weights_sha256:
                return {
                    "dense_folder": folder,
                    "dense_predictions": Predictions.read(
                        folder / "predictions.csv", record.test_correct, record.test_images
                    ),
                    "dense_curve": _curve(folder / "metrics.csv"),
                }
        except (OSError, KeyError, TypeError, ValueError):
            continue
    return {}


def _layers(path: Path) -> dict[str, LayerCost]:
    # An empty count is unknown, as only MACs may be; the other columns follow from the counts.
    return {
        row["name"]: msgspec.convert(
            {key: value or None for key, value in row.items()}, LayerCost, strict=False
        )
        for row in read_csv(path)
    }


def _curve(metrics: Path) -> tuple[float, ...]:
    accuracies = [row["val_accuracy"] for row in read_csv(metrics)]
    return tuple(float(accuracy) for accuracy in accuracies if accuracy)


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        name = Path(error.filename).name if error.filename else ""
        return f"{name}: {error.strerror}" if name else str(error)
    return first_line(error)
