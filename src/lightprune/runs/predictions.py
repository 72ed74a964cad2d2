"""predictions.csv: label and predicted class of every test image, to compare runs by image."""

from collections.abc import Sequence
from pathlib import Path

from lightprune.files import csv_text, read_csv, write_text

COLUMNS = ("label", "predicted")


def write_predictions(path: Path, labels: Sequence[int], predicted: Sequence[int]) -> None:
    """Writes one row an image, in the data's order: its class and the predicted one, as numbers."""
    write_text(path, csv_text(COLUMNS, zip(labels, predicted, strict=True)))


def read_predictions(path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Labels and predicted classes, as `write_predictions` wrote them."""
    rows = read_csv(path)
    labels, predicted = (tuple(int(row[column]) for row in rows) for column in COLUMNS)
    return labels, predicted
