"""Paired comparisons on the same test images, and what may be concluded from them in words."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from lightprune.rendering.number_format import counted
from lightprune.report.groups import RunGroup, run_label, starts_slim, without_seeds
from lightprune.report.reported_run import ReportedRun
from lightprune.report.statistics import holm_correction, mcnemar_p_value
from lightprune.runs.identity import diff_configs
from lightprune.runs.paired_counts import PairedCounts

LEVEL = 0.05
# What only a comparison's own interval says: among so many, some exclude 0 by chance.
UNCORRECTED = "before correction"
# Local pruning rounds in every tensor: as far as that, what is left may differ.
_SAME = 0.01
# How learning rates follow the events belongs to a schedule: it takes no more training.
_OF_THE_METHOD = ("recipe.finetune.restart",)


@dataclass(frozen=True)
class Comparison:
    """Two networks of one seed.

    Attributes:
        paired: The counts; None if they were not tested on the same images.
        right: For each image, whether the first and the second network have it right; as `paired`.
        corrected: McNemar's p, corrected for the number of comparisons; None without counts.
        obstacle: Why no ranking may follow, whatever the counts; empty if nothing is in the way.
    """

    first: str
    second: str
    seed: int
    paired: PairedCounts | None
    corrected: float | None
    obstacle: str
    right: tuple[Sequence[bool], Sequence[bool]] | None = None

    @property
    def reversed(self) -> "Comparison":
        """The same with the two networks changed over."""
        return replace(
            self,
            first=self.second,
            second=self.first,
            paired=self.paired and self.paired.reversed,
            right=self.right and self.right[::-1],
        )

    @property
    def separated(self) -> bool:
        """Whether the test tells the two apart."""
        return self.corrected is not None and self.corrected < LEVEL

    @property
    def verdict(self) -> str:
        """What follows, in words."""
        if self.paired is None:
            return f"not comparable: {self.obstacle}"
        alone = "" if self.separated else f" {UNCORRECTED}"
        apart = self.separated or self.paired.excludes_zero
        if self.obstacle:
            says = f"the test separates them{alone}" if apart else "not separated"
            return f"no ranking: {self.obstacle} ({says})"
        better = self.first if self.paired.difference > 0 else self.second
        return f"{better} is more accurate{alone}" if apart else "not separated"


def against_dense(groups: tuple[RunGroup, ...]) -> tuple[Comparison, ...]:
    """Each run against the dense network that it started from, if that was trained."""
    comparisons = []
    for group in groups:
        for run in group.runs:
            if starts_slim(run):
                continue
            dense, paired, right, obstacle = run.dense_predictions, None, None, ""
            if dense is None:
                obstacle = "the dense network's predictions are not at hand"
            elif dense.labels != run.predictions.labels:
                obstacle = "the dense network's test images are others"
            else:
                right = run.predictions.correct, dense.correct
                paired = PairedCounts.of(*right)
                # More training cannot excuse a loss, so a loss needs no equal budget.
                if paired.difference >= 0 and run.finetune_epochs:
                    obstacle = f"it has trained {counted(run.finetune_epochs, 'epoch')} more"
            names = group.name, "its dense network"
            comparisons.append(Comparison(*names, run.seed, paired, None, obstacle, right))
    return _with_correction(comparisons)


def between_runs(groups: tuple[RunGroup, ...]) -> tuple[Comparison, ...]:
    """Runs of equal seed that answer one question: equal sparsity, or one is a control."""
    comparisons = []
    for one, other in combinations(groups, 2):
        for a, b in product(one.runs, other.runs):
            obstacle = _obstacle(a, b)
            if a.seed == b.seed and _worth_a_line(a, b, obstacle):
                paired = right = None
                if a.data.fingerprint == b.data.fingerprint:
                    right = a.predictions.correct, b.predictions.correct
                    paired = PairedCounts.of(*right)
                names = one.name, other.name
                comparisons.append(Comparison(*names, a.seed, paired, None, obstacle, right))
    return _with_correction(comparisons)


def other_training(a: ReportedRun, b: ReportedRun) -> str:
    """How the images, the budgets or the settings of two trainings differ; empty if they do not."""
    if a.data.fingerprint != b.data.fingerprint:
        prints = f"{a.data.fingerprint[:8]} and {b.data.fingerprint[:8]}"
        return f"their data differ (fingerprints {prints})"
    if a.epochs != b.epochs:
        return f"their epochs differ ({a.epochs} and {b.epochs})"
    differences = diff_configs(without_seeds(a.config), without_seeds(b.config))
    for part in ("recipe", "model", "data", "trainer"):
        for key, first, second in differences:
            if key.startswith(part) and key not in _OF_THE_METHOD:
                return f"their settings differ ({key} is {first} and {second})"
    return ""


def _obstacle(a: ReportedRun, b: ReportedRun) -> str:
    if difference := other_training(a, b):
        return difference
    if a.dense.weights_sha256 != b.dense.weights_sha256:
        return "they start from different dense networks"
    return ""


def _worth_a_line(a: ReportedRun, b: ReportedRun, obstacle: str) -> bool:
    if obstacle:  # Only to say that the same configuration at two budgets must not be ranked.
        return run_label(a) == run_label(b)
    if not a.events or not b.events:
        return True
    density = (1 - a.cost.sparsity, 1 - b.cost.sparsity)
    return max(density) - min(density) <= _SAME * max(density)


def _with_correction(comparisons: list[Comparison]) -> tuple[Comparison, ...]:
    """Adds the corrected p-values; comparisons without a test do not count."""
    p_values = iter(holm_correction([mcnemar_p_value(c.paired) for c in comparisons if c.paired]))
    return tuple(replace(c, corrected=next(p_values)) if c.paired else c for c in comparisons)
