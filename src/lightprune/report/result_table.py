"""What the result table says: a row for each kind of dense network, and one for each group."""

import json
from collections import Counter
from dataclasses import dataclass

from lightprune.report.groups import RunGroup, precision_label, starts_slim, without_seeds
from lightprune.report.published import Published, PublishedFigure
from lightprune.report.reported_run import ReportedRun
from lightprune.report.statistics import MeanStd, wilson_interval

# Training alone may leave a zero here and there.
_FEW_ZEROS = 0.001


@dataclass(frozen=True)
class ResultRow:
    """What the table says of a group, or of dense networks; means over the seeds, 0..1.

    Attributes:
        group: None for dense networks.
        runs: In the order of their seeds; for dense networks, one that started from each.
        difference: To each run's own dense network; None for dense networks, and for a smaller
            one that began with what filter pruning left.
        live_sparsity: Among the weights that some input reaches.
        mac_density: The share of the dense MACs that is left; None if it is unknown.
        published: The published figure of the same network, if there is one.
    """

    name: str
    group: RunGroup | None
    runs: tuple[ReportedRun, ...]
    accuracy: MeanStd
    difference: MeanStd | None
    sparsity: float
    live_sparsity: float
    mac_density: float | None
    published: PublishedFigure | None

    @property
    def first(self) -> ReportedRun:
        """The run that stands for what all of them share."""
        return self.runs[0]

    @property
    def series(self) -> str:
        """The row's name without the sparsity."""
        return self.group.series if self.group else self.name

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of the accuracy that the number of test images allows."""
        images = self.first.data.test_images
        return wilson_interval(round(self.accuracy.mean * images), images)

    @property
    def task(self) -> tuple[str, str]:
        """The images and the kind of network: accuracies on others answer another question."""
        constructor = without_seeds(self.first.config["model"]).get("constructor")
        return self.first.data.fingerprint, json.dumps(constructor, sort_keys=True)

    @property
    def pruned(self) -> bool:
        """Whether something was; zeros alone, as training may leave one, are no pruning."""
        return self.group is not None and bool(self.first.events)

    @property
    def epochs(self) -> str:
        """Of the dense training and of the fine-tuning."""
        return self.first.epochs if self.group else self.first.dense_epochs

    @property
    def seeds(self) -> str:
        """In words; nothing for a user's own dense network."""
        users = not self.group and not self.first.dense.key
        return "" if users else ", ".join(str(run.seed) for run in self.runs)


def result_rows(
    groups: tuple[RunGroup, ...], published: Published | None = None
) -> tuple[ResultRow, ...]:
    """Rows of the dense networks first, then one for every group."""
    setups: dict[str, list[ReportedRun]] = {}
    for run in (run for group in groups for run in group.runs if not starts_slim(run)):
        setups.setdefault(_dense_setup(run), []).append(run)
    dense = [copy for runs in setups.values() for copy in _dense_copies(runs)]
    by_seed = [sorted(runs.values(), key=lambda run: run.seed) for runs in dense]
    names = [
        f"dense, {runs[0].dense_epochs} epoch{'s' * (runs[0].dense_epochs != '1')}"
        f"{precision_label(runs[0])}"
        for runs in by_seed
    ]
    if len(set(names)) < len(names):
        names = [f"{name} (no. {number})" for number, name in enumerate(names, 1)]
    if len(names) == 1:
        names = ["dense"]
    dense_rows = (
        _dense_row(name, runs, published) for name, runs in zip(names, by_seed, strict=True)
    )
    return (*dense_rows, *(_row(group, published) for group in groups))


def _dense_copies(runs: list[ReportedRun]) -> list[dict[int, ReportedRun]]:
    """A run of each dense network by its seed; of a seed that was trained twice, those apart.

    The network from which most runs start is the first of its seed.
    """
    starts = Counter(run.dense.weights_sha256 for run in runs)
    copies: list[dict[int, ReportedRun]] = []
    for run in sorted(runs, key=lambda run: -starts[run.dense.weights_sha256]):
        # A user's own weights belong to no seed: however many runs start from them, they are one.
        seed = run.seed if run.dense.key else 0
        for copy in copies:
            if copy.setdefault(seed, run).dense.weights_sha256 == run.dense.weights_sha256:
                break
        else:
            copies.append({seed: run})
    return copies


def _dense_setup(run: ReportedRun) -> str:
    parts = {name: run.config[name] for name in ("model", "data", "trainer")}
    recipe = run.config["recipe"]["dense"] if run.dense.key else run.dense.weights_sha256
    settings = {**parts, "recipe": recipe, "images": run.data.fingerprint}
    return json.dumps(without_seeds(settings), sort_keys=True)


def _dense_row(name: str, runs: list[ReportedRun], published: Published | None) -> ResultRow:
    first = runs[0]
    live_sparsity = first.dense.zero_live_weights / first.cost.live if first.cost.live else 0.0
    return ResultRow(
        name=name,
        group=None,
        runs=tuple(runs),
        accuracy=MeanStd.of([run.dense.test_accuracy for run in runs]),
        difference=None,
        sparsity=first.dense.zero_weights / first.cost.weights,
        live_sparsity=live_sparsity,
        # Unreachable weights are not counted, as in the pruned networks. Where the zeros of given
        # weights lie, and so which MACs they save, is not on record.
        mac_density=first.reached_mac_share if live_sparsity < _FEW_ZEROS else None,
        published=published.dense if published and published.comparable(first) else None,
    )


def _row(group: RunGroup, published: Published | None) -> ResultRow:
    runs, slim = group.runs, starts_slim(group.first)
    densities = [d for run in runs if (d := run.cost.mac_density) is not None]
    return ResultRow(
        name=group.name,
        group=group,
        runs=runs,
        accuracy=MeanStd.of([run.test.accuracy for run in runs]),
        difference=None if slim else MeanStd.of([run.accuracy_change for run in runs]),
        sparsity=MeanStd.of([run.cost.sparsity for run in runs]).mean,
        live_sparsity=MeanStd.of([run.cost.live_sparsity for run in runs]).mean,
        mac_density=MeanStd.of(densities).mean if len(densities) == len(runs) else None,
        published=published.match(group.first) if published else None,
    )
