"""Paired comparisons on the same test images, and what may be concluded from them in words."""

from dataclasses import dataclass, replace
from itertools import combinations, product

from lightprune.report.groups import RunGroup, epochs_label, run_label, starts_slim, without_seeds
from lightprune.report.reported_run import ReportedRun
from lightprune.report.statistics import PairedCounts, holm_correction
from lightprune.runs.identity import diff_configs

LEVEL = 0.05
# Local pruning rounds in every tensor: as far as that, what is left may differ.
_SAME = 0.01
# How learning rates follow the events belongs to a schedule: it takes no more training.
_OF_THE_METHOD = ("recipe.finetune.restart",)


@dataclass(frozen=True)
class Comparison:
    """Two networks of one seed.

    Attributes:
        first: Name of the first one.
        second: Name of the second one.
        seed: Of both.
        paired: The counts; None if they were not tested on the same images.
        corrected: McNemar's p, corrected for the number of comparisons; None without counts.
        obstacle: Why no ranking may follow, whatever the counts; empty if nothing is in the way.
    """

    first: str
    second: str
    seed: int
    paired: PairedCounts | None
    corrected: float | None
    obstacle: str

    @property
    def separated(self) -> bool:
        """Whether the test tells the two apart."""
        return self.corrected is not None and self.corrected < LEVEL

    @property
    def verdict(self) -> str:
        """What follows, in words."""
        if self.paired is None:
            return f"not comparable: {self.obstacle}"
        if self.obstacle:
            apart = "the test separates them" if self.separated else "not separated"
            return f"no ranking: {self.obstacle} ({apart})"
        if not self.separated:
            return "no ranking: the test does not separate them"
        return f"{self.first if self.paired.difference > 0 else self.second} is more accurate"


def against_dense(groups: tuple[RunGroup, ...]) -> tuple[Comparison, ...]:
    """Each run against the dense network that it started from, if that was trained."""
    found = []
    for group in groups:
        for run in group.runs:
            if starts_slim(run):
                continue
            dense = run.dense_predictions
            epochs = run.config["recipe"]["finetune"]["epochs"]
            if dense is None:
                paired, obstacle = None, "the dense network's predictions are not at hand"
            elif dense.labels != run.predictions.labels:
                paired, obstacle = None, "the dense network's test images are others"
            else:
                paired = PairedCounts.of(run.predictions.correct, dense.correct)
                obstacle = f"it has trained {epochs} epochs more"
                # More training cannot excuse a loss, so a loss needs no equal budget.
                if paired.difference < 0 or not epochs:
                    obstacle = ""
            found.append(
                Comparison(group.name, "its dense network", run.seed, paired, None, obstacle)
            )
    return _with_correction(found)


def between_runs(groups: tuple[RunGroup, ...]) -> tuple[Comparison, ...]:
    """Runs of equal seed that answer one question: equal sparsity, or one is a control."""
    found = []
    for one, other in combinations(groups, 2):
        for a, b in product(one.runs, other.runs):
            obstacle = _obstacle(a, b)
            if a.seed == b.seed and _worth_a_line(a, b, obstacle):
                same = a.data.fingerprint == b.data.fingerprint
                paired = (
                    PairedCounts.of(a.predictions.correct, b.predictions.correct) if same else None
                )
                found.append(Comparison(one.name, other.name, a.seed, paired, None, obstacle))
    return _with_correction(found)


def _obstacle(a: ReportedRun, b: ReportedRun) -> str:
    """Why two runs must not be ranked; empty if nothing is in the way."""
    if a.data.fingerprint != b.data.fingerprint:
        prints = f"{a.data.fingerprint[:8]} and {b.data.fingerprint[:8]}"
        return f"their data differ (fingerprints {prints})"
    if epochs_label(a) != epochs_label(b):
        return f"their budgets differ ({epochs_label(a)} and {epochs_label(b)} epochs)"
    for part in ("recipe", "model", "data", "trainer"):
        mine, theirs = without_seeds(a.config[part]), without_seeds(b.config[part])
        for key, there, here in diff_configs(theirs, mine, part):
            if key in _OF_THE_METHOD:
                continue
            return f"their settings differ ({key} is {here} and {there})"
    if a.dense.weights_sha256 != b.dense.weights_sha256:
        return "they start from different dense networks"
    return ""


def _worth_a_line(a: ReportedRun, b: ReportedRun, obstacle: str) -> bool:
    """Whether a comparison of two runs is worth a line."""
    if obstacle:  # Only to say that the same configuration at two budgets must not be ranked.
        return run_label(a) == run_label(b)
    if not a.events or not b.events:
        return True
    left = (1 - a.cost.sparsity, 1 - b.cost.sparsity)
    return max(left) - min(left) <= _SAME * max(left)


def _with_correction(found: list[Comparison]) -> tuple[Comparison, ...]:
    """Adds the corrected p-values; comparisons without a test do not count."""
    p_values = iter(holm_correction([c.paired.p_value for c in found if c.paired]))
    return tuple(replace(c, corrected=next(p_values)) if c.paired else c for c in found)
