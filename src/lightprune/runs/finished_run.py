"""A finished run as its folder tells it: typed, and checked against itself."""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

from lightprune.errors import first_line
from lightprune.files import read_csv
from lightprune.pruning.cost import LayerCost
from lightprune.pruning.event_record import EventRecord
from lightprune.runs.folder import Json, RunFolder
from lightprune.runs.predictions import read_predictions


class DamagedError(ValueError):
    """A run folder lacks something, or contradicts itself; the message says what."""


@dataclass(frozen=True)
class Predictions:
    """Labels and predicted classes of the test images, in the data's order."""

    labels: tuple[int, ...]
    predicted: tuple[int, ...]

    @property
    def right(self) -> tuple[bool, ...]:
        """Which images are classified correctly."""
        return tuple(a == b for a, b in zip(self.labels, self.predicted, strict=True))

    def recalls(self, classes: int) -> list[float]:
        """The share of each class that is classified correctly; 0 for a class without images."""
        images, hits = [0] * classes, [0] * classes
        for label, right in zip(self.labels, self.right, strict=True):
            images[label] += 1
            hits[label] += right
        return [hit / n if n else 0.0 for hit, n in zip(hits, images, strict=True)]

    @classmethod
    def read(cls, path: Path, correct: int, images: int) -> "Predictions":
        """Reads predictions.csv and holds it against the counts of its record.

        Raises:
            DamagedError: It is missing, unreadable or of another network.
        """
        try:
            found = cls(*read_predictions(path))
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"{path.name} cannot be read ({_reason(error)})") from error
        if (sum(found.right), len(found.labels)) != (correct, images):
            raise DamagedError(
                f"{path.name} has {sum(found.right)} of {len(found.labels)} images right, the "
                f"record says {correct} of {images}"
            )
        return found


@dataclass(frozen=True)
class Data:
    """The images that a run was trained and tested on."""

    source: str
    fingerprint: str
    classes: tuple[str, ...]
    train_images: int
    validation_images: int
    validation_is_test: bool
    test_images: int


@dataclass(frozen=True)
class Dense:
    """The dense network that a run started from.

    Attributes:
        folder: Of the cache; None if it is not at hand, like the predictions.
        curve: Validation accuracy after each epoch; empty if not at hand.
        validation: Accuracy on the validation images, 0..1; None for one's own network.
    """

    key: str
    weights: str
    epochs: int
    seconds: float
    correct: int
    images: int
    changed_without_dead: int
    validation: float | None
    folder: Path | None = None
    predictions: Predictions | None = None
    curve: tuple[float, ...] = ()

    @property
    def accuracy(self) -> float:
        """On the test images, 0..1."""
        return self.correct / self.images


@dataclass(frozen=True)
class FinishedRun:
    """A finished run.

    Attributes:
        folder: Its place below the folder that is reported on.
        config: What was asked, resolved.
        command: What was typed.
        commit: Of the code.
        versions: Of the packages that decide a result.
        hardware: Where it ran, in words.
        data: What it was trained and tested on.
        dense: What it started from.
        events: Its prune events.
        curve: Validation accuracy after each epoch of fine-tuning.
        layers: Counts by prunable parameter.
        cost: Their sum.
        correct: Correctly classified test images.
        validation: Accuracy on the validation images, 0..1, of the weights that were tested.
        seconds: Of the fine-tuning.
        predictions: On the test images.
    """

    folder: str
    config: Json
    command: str
    commit: str
    versions: dict[str, str]
    hardware: str
    data: Data
    dense: Dense
    events: tuple[EventRecord, ...]
    curve: tuple[float, ...]
    layers: dict[str, LayerCost]
    cost: LayerCost
    correct: int
    validation: float
    seconds: float
    predictions: Predictions

    @property
    def accuracy(self) -> float:
        """On the test images, 0..1."""
        return self.correct / self.data.test_images

    @property
    def seed(self) -> int:
        """The seed."""
        return int(self.config["seed"])


def read_run(path: Path, name: str, dense_folders: tuple[Path, ...]) -> FinishedRun:
    """Reads a complete run folder.

    Args:
        path: The folder.
        name: What the report calls it.
        dense_folders: Where the predictions of dense networks may lie, by key.

    Raises:
        DamagedError: Something is missing, unreadable or contradictory.
        InputError: run.json is damaged or of another version.
    """
    folder = RunFolder(path)
    record = folder.record()
    if record is None:
        raise DamagedError("is not finished")
    try:
        test, hardware = record["test"], record["hardware"]
        data = {**record["data"], "classes": tuple(record["data"]["classes"])}
        layers = _layers(folder.layers_file)
        run = FinishedRun(
            folder=name,
            config=record["config"],
            command=record["command"],
            commit=record["commit"],
            versions=record["versions"],
            hardware=(
                f"{hardware['device']}, {hardware['processes']} process(es), "
                f"{hardware['threads']} thread(s), {hardware['precision']}"
            ),
            data=Data(**data),
            dense=_dense(record["dense"], dense_folders),
            events=tuple(EventRecord.load(event) for event in record["events"]),
            curve=_curve(folder.metrics_file),
            layers=layers,
            cost=LayerCost(**{field.name: record["cost"][field.name] for field in _COUNTS}),
            correct=test["correct"],
            validation=record["validation_accuracy"],
            seconds=record["seconds"]["finetune"],
            predictions=Predictions.read(folder.predictions_file, test["correct"], test["images"]),
        )
    except DamagedError:
        raise
    except KeyError as error:
        raise DamagedError(f"lacks {error}") from error
    except (OSError, TypeError, ValueError) as error:
        raise DamagedError(_reason(error)) from error
    if sum(layers.values(), LayerCost(0, 0, 0, 0, 0, 0, 0)) != run.cost:
        raise DamagedError("layers.csv does not sum up to run.json")
    return run


_COUNTS = fields(LayerCost)


def _dense(record: Json, folders: tuple[Path, ...]) -> Dense:
    """The dense network; the files of another one under the same key count as not at hand."""
    known = Dense(
        key=record["key"],
        weights=record["weights"],
        epochs=record["epochs"],
        seconds=record["seconds"],
        correct=record["test_correct"],
        images=record["test_images"],
        changed_without_dead=record["changed_without_dead"],
        validation=record["validation"],
    )
    for folder in (folder / known.key for folder in folders if known.key):
        try:
            if json.loads((folder / "dense.json").read_text())["weights"] != known.weights:
                continue
            predictions = Predictions.read(folder / "predictions.csv", known.correct, known.images)
            curve = _curve(folder / "metrics.csv")
        except (OSError, KeyError, TypeError, ValueError):
            continue
        return replace(known, folder=folder, predictions=predictions, curve=curve)
    return known


def _layers(path: Path) -> dict[str, LayerCost]:
    return {
        row["name"]: LayerCost(**{f.name: int(row[f.name]) for f in _COUNTS})
        for row in read_csv(path)
    }


def _curve(metrics: Path) -> tuple[float, ...]:
    return tuple(float(row["val_accuracy"]) for row in read_csv(metrics))


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        name = Path(error.filename).name if error.filename else ""
        return f"{name}: {error.strerror}" if name else str(error)
    return first_line(error)
