"""Groups runs that differ in nothing but the seed, and names each configuration uniquely."""

import hashlib
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

from lightprune.rendering.number_format import percent_label
from lightprune.report.reported_run import ReportedRun
from lightprune.runs.identity import config_hash, diff_configs
from lightprune.runs.method_label import is_sanity_check, is_slim, method_label, prunes
from lightprune.runs.record import Json

FULL_PRECISION = "32-true"
# Dense, trained for as many epochs.
CONTROL = "control"
_REACHED = "schedule.reached"
_SCOPES = (CONTROL, "global", "local", "random", "inverted")


@dataclass(frozen=True)
class RunGroup:
    """Runs that differ in their seeds alone, in the order of these.

    Attributes:
        name: Unique in a report.
        series: The name without the sparsity: groups of one series make a curve.
    """

    name: str
    series: str
    runs: tuple[ReportedRun, ...]

    @property
    def first(self) -> ReportedRun:
        """The run that stands for what all of them share."""
        return self.runs[0]

    @property
    def kind(self) -> str:
        """What was done, whatever the sparsity and the settings."""
        return method_label(self.first.config)


def group_runs(runs: tuple[ReportedRun, ...]) -> tuple[RunGroup, ...]:
    """Groups runs by configuration: the control first, then by method and sparsity."""
    groups: dict[tuple[str, int], list[ReportedRun]] = {}
    for run in runs:
        setup, copy = config_hash(_setup(run)), 0
        # The same run twice tells nothing of another seed.
        while any(run.seed == other.seed for other in groups.get((setup, copy), ())):
            copy += 1
        groups.setdefault((setup, copy), []).append(run)
    ordered = sorted(groups.values(), key=lambda group: _sort_key(group[0]))
    # Where some ended early, the longest training names all.
    firsts = [max(group, key=lambda run: run.finetune_epochs) for group in ordered]
    suffixes = [_suffix(run, firsts) for run in firsts]
    names = [f"{run_label(run)}{suffix}" for run, suffix in zip(firsts, suffixes, strict=True)]
    return tuple(
        RunGroup(
            name if names.count(name) == 1 else f"{name} [{group[0].folder}]",
            f"{method_label(group[0].config)}{suffix}",
            tuple(sorted(group, key=lambda run: run.seed)),
        )
        for name, suffix, group in zip(names, suffixes, ordered, strict=True)
    )


def starts_slim(run: ReportedRun) -> bool:
    """Whether a run began with what filter pruning had just left: no network to be held against."""
    return is_slim(run.config) and not run.dense.key


def run_label(run: ReportedRun) -> str:
    """What a run did: `global 98 % one_shot`; equal for runs that share this, whatever else."""
    what = method_label(run.config)
    if not prunes(run.config):
        return "control (dense continued)" if what == CONTROL else what
    scope, _, rest = what.partition(" ")
    return f"{scope} {percent_label(run.target_sparsity)} {rest}"


def training_label(run: ReportedRun) -> str:
    """The epochs, and the precision where it is not full: `80 + 20 epochs, bf16-mixed`."""
    return f"{run.epochs} epochs{precision_label(run)}"


def precision_label(run: ReportedRun) -> str:
    """In which precision a run trained, as `, bf16-mixed`; nothing for full precision."""
    precision = run.config["trainer"]["precision"]
    return "" if precision == FULL_PRECISION else f", {precision}"


def without_seeds(config: Any) -> Any:
    """A copy of a config without its seeds."""
    if isinstance(config, dict):
        return {key: without_seeds(value) for key, value in config.items() if key != "seed"}
    return config


def _sort_key(run: ReportedRun) -> tuple[Any, ...]:
    what = method_label(run.config)
    scope = what.partition(" ")[0]
    place = _SCOPES.index(scope) if scope in _SCOPES else len(_SCOPES)
    epochs = run.dense.epochs + run.finetune_epochs
    return (
        is_sanity_check(what),
        place,
        run.target_sparsity,
        "one_shot" not in what,
        what,
        epochs,
        run.folder,
    )


def _setup(run: ReportedRun) -> Json:
    # A user's own weights are no part of a config, and trained ones differ with the seed.
    weights = "" if run.dense.key else run.dense.weights_sha256[:8]
    about = {"data.fingerprint": run.data.fingerprint[:8], "dense.weights": weights}
    # `schedule=until` ends where a seed's accuracy does, not where its config says.
    return {**without_seeds(run.config), **about, _REACHED: run.target_sparsity}


def _suffix(run: ReportedRun, others: list[ReportedRun]) -> str:
    """What tells a run from others of its kind, whatever the sparsity: training, then settings."""
    training, method = training_label(run), method_label(run.config)
    words = f", {training}" if any(training_label(other) != training for other in others) else ""
    settings = {
        key: f"{key}={_abbreviated(str(value))}"
        for other in others
        if (method_label(other.config), training_label(other)) == (method, training)
        for key, _, value in diff_configs(_setup(other), _setup(run))
        if key not in ("schedule.sparsity", "schedule.amount", _REACHED)
    }
    shown = [*settings.values()]
    return words + (f" ({', '.join(shown[:3] + ['...'] * (len(shown) > 3))})" if shown else "")


def _abbreviated(value: str) -> str:
    """A value in at most 50 characters, still told apart from others."""
    if len(value) <= 50:
        return value
    digest = hashlib.sha256(value.encode()).hexdigest()[:8]
    return f"{shorten(value, 36, placeholder=' ...')} {digest}"
