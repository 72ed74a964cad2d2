"""Whether engines say the same: accuracy, predictions and logits beside those of eager torch."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.sparse.bench.engines import Runner
from lightprune.sparse.bench.examples import Examples

_BATCH = 250
CLOSE = 1e-4
"""Top two logits that differ by less may change places for rounding alone."""


@dataclass(frozen=True)
class Agreement:
    """What an engine makes of the images, compared with eager torch.

    Attributes:
        engine: Its name.
        images: How many.
        correct: How many it recognises; None if nobody knows what they show.
        differing: Predictions that differ.
        close: Those of them whose top two logits eager torch has closer than `CLOSE`.
        largest_difference: Of any logit.
    """

    engine: str
    images: int
    correct: int | None
    differing: int
    close: int
    largest_difference: float

    @property
    def accuracy(self) -> float | None:
        """Top-1 accuracy, 0..1."""
        return None if self.correct is None else self.correct / self.images


def logits_of(
    runner: Runner, examples: Examples, layout: torch.memory_format = torch.contiguous_format
) -> Tensor:
    """The logits of all images, (N, classes)."""
    with torch.inference_mode():
        parts = [
            runner(batch.contiguous(memory_format=layout)) for batch in examples.batches(_BATCH)
        ]
    return torch.cat(parts)


def agreement(engine: str, found: Tensor, eager: Tensor, labels: Tensor | None) -> Agreement:
    """Compares logits, (N, classes), with those of eager torch."""
    predicted = found.argmax(1)
    differs = predicted != eager.argmax(1)
    top = eager.topk(min(2, eager.shape[1])).values
    return Agreement(
        engine=engine,
        images=len(found),
        correct=None if labels is None else int((predicted == labels).sum()),
        differing=int(differs.sum()),
        close=int((differs & (top[:, 0] - top[:, -1] < CLOSE)).sum()),
        largest_difference=float((found - eager).abs().max()),
    )
