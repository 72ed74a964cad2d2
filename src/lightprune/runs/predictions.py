"""What a network says of every test image: kept, so that runs compare image by image."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from lightprune.files import write_text

COLUMNS = ("label", "predicted")


def write_predictions(path: Path, labels: Sequence[int], predicted: Sequence[int]) -> None:
    """Writes one row an image, in the data's order: its class and the predicted one, as numbers."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(zip(labels, predicted, strict=True))
    write_text(path, text.getvalue())


def read_predictions(path: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Labels and predicted classes, as `write_predictions` wrote them."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels, predicted = (tuple(int(row[column]) for row in rows) for column in COLUMNS)
    return labels, predicted
