"""Whether backends agree: accuracy, predictions and logits beside those of eager torch."""

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from lightprune.bench.backends import Runner
from lightprune.bench.evaluation_images import EvaluationImages
from lightprune.export.loaded_network import LoadedNetwork
from lightprune.export.reduced_precision import as_stored

_BATCH = 250
SECONDS = 15.0
"""The most a backend computes outputs: a slow one must not take longer than all timing."""
NEAR_TIE = 1e-4
"""Top two logits that differ by less may change places by rounding alone."""


@dataclass(frozen=True)
class OutputCheck:
    """The outputs of a backend compared with those of eager torch.

    Attributes:
        correct: How many are classified correctly; None without labels.
        differing: Predictions that differ.
        near_ties: Those of them whose top two logits differ by less than `NEAR_TIE` in eager torch.
        max_logit_difference: Largest absolute difference of any logit.
    """

    backend: str
    images: int
    correct: int | None
    differing: int
    near_ties: int
    max_logit_difference: float

    @property
    def accuracy(self) -> float | None:
        """Top-1 accuracy, 0..1."""
        return None if self.correct is None else self.correct / self.images


def logits_of(
    runner: Runner,
    images: EvaluationImages,
    layout: torch.memory_format = torch.contiguous_format,
) -> Tensor:
    """The logits of the images, (N, classes): of all of them if the backend is fast enough."""
    parts, deadline = [], time.perf_counter() + SECONDS
    with torch.inference_mode():
        for batch in images.batches(_BATCH):
            parts.append(runner(batch.contiguous(memory_format=layout)))
            if time.perf_counter() > deadline:
                break
    return torch.cat(parts)


def compare_with_eager(
    backend: str, logits: Tensor, eager: Tensor, labels: Tensor | None
) -> OutputCheck:
    """Compares logits, (N, classes, ...), with eager torch's, as many as there are of both."""
    images = min(len(logits), len(eager))
    if eager.dim() == 1:  # Of a network without an axis of classes.
        logits, eager = logits[:, None], eager[:, None]
    logits, eager = logits[:images], eager[:images]
    predicted = logits.argmax(1)
    differs = predicted != eager.argmax(1)
    top = eager.topk(min(2, eager.shape[1]), dim=1).values
    return OutputCheck(
        backend=backend,
        images=images,
        correct=None if labels is None else int((predicted == labels[:images]).sum()),
        differing=int(differs.sum()),
        near_ties=int((differs & (top[:, 0] - top[:, -1] < NEAR_TIE)).sum()),
        max_logit_difference=_largest_difference(logits, eager),
    )


def _largest_difference(logits: Tensor, eager: Tensor) -> float:
    """Finite, since JSON has nothing else: what is NaN or infinite in one alone is the most."""
    alike = (logits == eager) | (logits.isnan() & eager.isnan())
    difference = (logits - eager).abs().masked_fill(alike, 0.0)
    most = torch.finfo(difference.dtype).max
    return float(difference.nan_to_num(nan=most, posinf=most).max())


def accuracy_in(values: str, loaded: LoadedNetwork, images: EvaluationImages) -> str:
    """The test accuracy of a network stored as `fp16` or `int8` beside float32's, in a line.

    Raises:
        InputError: The sparse runtime cannot take the network, or `values` its weights.
    """
    # The compiler takes a second to load, and other comparisons do without.
    from lightprune.sparse.runtime.network import SparseNetwork

    float32, reduced = (
        logits_of(SparseNetwork(loaded.graph, state), images)
        for state in (loaded.state, as_stored(loaded.state, values))
    )
    exact, check = (
        compare_with_eager(values, logits, float32, images.labels) for logits in (float32, reduced)
    )
    return (
        f"accuracy in {values}: {check.accuracy:.2%}, in float32 {exact.accuracy:.2%}; "
        f"{check.differing:,} of {check.images:,} predictions differ ({images.origin})"
    )
