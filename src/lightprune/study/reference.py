"""The study's published figures, and what may be held against them."""

from dataclasses import dataclass

from lightprune.report.reported_run import ReportedRun
from lightprune.runs.finished_run import Data

# The images of this project's own runs have a name; the data's SHA-256 tells that it is they.
VARIANTS = {
    "488e9dd64dc65d496614484ad292b4a8f23f2ea6dfe32af44f93295e33ba22c9": "CIFAR-10, JPEG q75",
}
_CIFAR10 = [
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]
_WEIGHTS = 11_166_912
_LIVE = 4_220_096

# Of its dense training and of its fine-tuning.
EPOCHS = 200 + 200

NAME = "the study (L. Mao, blog post “PyTorch Pruning”)"
CAVEATS = (
    "The study trained 200 + 200 epochs, on lossless CIFAR-10, one seed, and chose and tested on "
    "the test set; its figures are quoted, not measured here, so nothing is ranked against them."
)


@dataclass(frozen=True)
class Published:
    """A figure of the study.

    Attributes:
        label: What was pruned.
        scope: `global` or `local`; empty for the dense network.
        sparsity: The share of zeros among the convolution weights.
        accuracy: On the test images, 0..1.
    """

    label: str
    scope: str
    sparsity: float
    accuracy: float

    @property
    def live_sparsity(self) -> float:
        """If every dead weight goes first, as weight decay makes L1 do in 200 epochs."""
        return max(0.0, 1 - (1 - self.sparsity) * _WEIGHTS / _LIVE)


FIGURES = (
    Published("dense", "", 0.0, 0.869),
    Published("global 98 %", "global", 0.98, 0.868),
    Published("local 94 %", "local", 0.9424, 0.828),
)


def comparable(run: ReportedRun) -> bool:
    """Whether a run asks the study's question: its network on (some copy of) its images."""
    cifar = sorted(run.data.classes) == _CIFAR10 and run.data.source != "Digits"
    return cifar and (run.cost.weights, run.cost.live) == (_WEIGHTS, _LIVE)


def variant(data: Data) -> str:
    """The images in words, with the start of their fingerprint."""
    name = VARIANTS.get(data.fingerprint, data.source)
    return f"{name} ({data.fingerprint[:8]})"
