"""The reference, Mao's blog post “PyTorch Pruning”: its figures, and what is comparable to them."""

from collections.abc import Iterable

from lightprune.rendering.number_format import percent
from lightprune.report.published import Published, PublishedFigure
from lightprune.report.reported_run import ReportedRun
from lightprune.runs.method_label import method_label

# The images of this project's own runs have a name; the data's SHA-256 tells that it is they.
DATASET_NAMES = {
    "488e9dd64dc65d496614484ad292b4a8f23f2ea6dfe32af44f93295e33ba22c9": "CIFAR-10, JPEG q75",
}
_CIFAR10 = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_WEIGHTS = 11_166_912
_REACHABLE = 4_220_096

# Of its dense training and of its fine-tuning.
EPOCHS = 200 + 200

_SOURCE = "the reference (L. Mao, blog post “PyTorch Pruning”)"
_CAVEATS = (
    "The reference trained 200 + 200 epochs, on lossless CIFAR-10, one seed, and chose and tested "
    "on the test set; its figures are quoted, not measured here, so nothing is ranked against them."
)
DENSE = PublishedFigure("dense", 0.0, 0.869)
# By scope.
PRUNED = {
    "global": PublishedFigure("global 98 %", 0.98, 0.868),
    "local": PublishedFigure("local 94 %", 0.9424, 0.828),
}


def comparable(run: ReportedRun) -> bool:
    """Whether a run prunes the reference's network on (some copy of) its images."""
    cifar = tuple(sorted(run.data.classes)) == _CIFAR10 and run.data.source != "Digits"
    return cifar and (run.cost.weights, run.cost.live) == (_WEIGHTS, _REACHABLE)


def match(run: ReportedRun) -> PublishedFigure | None:
    """The figure of what a run did, if the reference did it too."""
    scope, _, rest = method_label(run.config).partition(" ")
    figure = PRUNED.get(scope)
    if not figure or not comparable(run) or rest not in ("one_shot", "multi_step"):
        return None
    return figure if abs(figure.sparsity - run.target_sparsity) < 5e-4 else None


def published(runs: Iterable[ReportedRun]) -> Published | None:
    """The figures to show beside these runs; None if no run can be held against them."""
    if not any(comparable(run) for run in runs):
        return None
    figures = (DENSE, *PRUNED.values())
    quoted = ", ".join(f"{figure.label} {percent(figure.accuracy, 1)}" for figure in figures)
    note = f"Column “reference”: {_SOURCE}: {quoted}. {_CAVEATS}"
    return Published("reference", note, DENSE, comparable, match)
