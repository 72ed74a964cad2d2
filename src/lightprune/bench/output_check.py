"""Whether engines say the same: accuracy, predictions and logits beside those of eager torch."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.bench.backends import Runner
from lightprune.bench.evaluation_images import EvaluationImages

_BATCH = 250
# A slow engine on a large test set must not take longer than all timing.
_SECONDS = 15.0
NEAR_TIE = 1e-4
"""Top two logits that differ by less may change places for rounding alone."""


@dataclass(frozen=True)
class OutputCheck:
    """What an engine makes of the images, compared with eager torch.

    Attributes:
        engine: Its name.
        images: How many.
        correct: How many it recognises; None if nobody knows what they show.
        differing: Predictions that differ.
        close: Those of them whose top two logits eager torch has closer than `NEAR_TIE`.
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
    runner: Runner,
    examples: EvaluationImages,
    layout: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """The logits of the images, (N, classes): of all of them if the engine is fast enough."""
    parts, enough = [], time.perf_counter() + _SECONDS
    with torch.inference_mode():
        for batch in examples.batches(_BATCH):
            parts.append(runner(batch.contiguous(memory_format=layout)))
            if time.perf_counter() > enough:
                break
    return torch.cat(parts)


def check_outputs(engine: str, found: Tensor, eager: Tensor, labels: Tensor | None) -> OutputCheck:
    """Compares logits, (N, classes), with those of eager torch, as many as there are of both."""
    images = min(len(found), len(eager))
    found, eager = found[:images], eager[:images]
    predicted = found.argmax(1)
    differs = predicted != eager.argmax(1)
    top = eager.topk(min(2, eager.shape[1])).values
    return OutputCheck(
        engine=engine,
        images=images,
        correct=None if labels is None else int((predicted == labels[:images]).sum()),
        differing=int(differs.sum()),
        close=int((differs & (top[:, 0] - top[:, -1] < NEAR_TIE)).sum()),
        largest_difference=float((found - eager).abs().max()),
    )
