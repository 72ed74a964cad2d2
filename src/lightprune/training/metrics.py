"""Metrics of a pass over images: accuracy, loss, scores of every class, every prediction."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics.classification import MulticlassConfusionMatrix

from lightprune.distributed import all_reduce_sum_, gather_in_order
from lightprune.runs.record import ClassScore, Scores


@dataclass(frozen=True)
class Evaluation(Scores):
    """Scores of a pass over images, and the predicted class of each image in their order."""

    predicted: tuple[int, ...]


class Tally(nn.Module):
    """Accumulates metrics batch by batch, over all processes, on the device of its module."""

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        self._classes = tuple(classes)
        self._confusion = MulticlassConfusionMatrix(len(self._classes))
        self._losses: list[Tensor] = []
        self._predicted: list[Tensor] = []

    def reset(self) -> None:
        self._confusion.reset()
        self._losses, self._predicted = [], []

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Adds a batch: logits (B, classes) of any float type, labels int64 (B,)."""
        logits = logits.float()
        self._predicted.append(logits.argmax(1))
        self._confusion.update(self._predicted[-1], labels)
        self._losses.append(F.cross_entropy(logits, labels, reduction="sum").double())

    def compute(self) -> Evaluation:
        """The metrics over all processes; a collective, which every process must call."""
        confusion = self._confusion.compute().double()
        hits, actual, predicted = confusion.diag(), confusion.sum(1), confusion.sum(0)
        scores = zip(
            self._classes,
            (hits / predicted).nan_to_num().tolist(),
            (hits / actual).nan_to_num().tolist(),
            (2 * hits / (actual + predicted)).nan_to_num().tolist(),
            strict=True,
        )
        images = int(confusion.sum())
        return Evaluation(
            correct=int(hits.sum()),
            images=images,
            loss=float(all_reduce_sum_(torch.stack(self._losses).sum())) / images,
            classes=tuple(ClassScore(*score) for score in scores),
            predicted=tuple(gather_in_order(self._predicted).tolist()),
        )
