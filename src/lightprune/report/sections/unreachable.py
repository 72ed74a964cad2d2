"""Unreachable weights: how many of the zeros they are, and what pruning them first gains."""

from collections.abc import Iterator
from dataclasses import dataclass

from lightprune.pruning.cost.cost_report import LayerCost
from lightprune.rendering.chart import Axis, Mark, Series, xy_chart
from lightprune.rendering.document import Block
from lightprune.rendering.number_format import percent_label
from lightprune.rendering.svg import chart_figure
from lightprune.report.baseline import tests_between, verdict
from lightprune.report.findings import Findings
from lightprune.report.groups import RunGroup, without_seeds
from lightprune.report.reported_run import ReportedRun
from lightprune.report.statistics import MeanStd

_TICKS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9999)


@dataclass(frozen=True)
class RankFirstPair:
    """Runs that differ in `pruner.unreachable` alone: seed by seed, of the same dense networks."""

    names: tuple[str, str]
    rank: tuple[ReportedRun, ...]
    first: tuple[ReportedRun, ...]

    @property
    def same_masks(self) -> bool:
        """Whether `first` pruned exactly what `rank` did."""
        return [r.events[-1].digest for r in self.rank] == [r.events[-1].digest for r in self.first]

    @property
    def gain(self) -> MeanStd:
        """Accuracy of `first` less that of `rank`."""
        pairs = zip(self.rank, self.first, strict=True)
        return MeanStd.of([first.test.accuracy - rank.test.accuracy for rank, first in pairs])

    @property
    def sparsity(self) -> str:
        """What both aimed at."""
        return percent_label(self.first[0].target_sparsity)


def unreachable_section(findings: Findings) -> Iterator[Block]:
    """One sentence, what pruning them first gains, and nominal against live sparsity."""
    groups = _with_unreachable(findings)
    if not groups:
        return
    yield " ".join((*unreachable_lines(findings), _effect_of_zeroing(groups)))
    yield from first_against_rank_lines(findings)
    if len(groups) == 1:
        return
    costs = [group.first.cost for group in groups if group.first.cost.live_nnz]
    edge = min((1 - cost.sparsity for cost in costs), default=0.01) / 1.3
    x, y = (_axis(name, edge) for name in ("sparsity", "live sparsity"))
    marks = tuple(_mark(g) for g in groups if g.first.cost.live_nnz)
    even = Series("equal", (Mark(1.0, 1.0), Mark(edge, edge)), 5, markers=False)
    title = "Live sparsity against sparsity"
    caption = (
        "Below the line: zeros on weights that no input reaches, which cost no accuracy and save "
        "nothing. Point at a mark for its configuration."
    )
    svg = xy_chart(title, x, y, [Series("configurations", marks, None), even])
    yield chart_figure("unreachable", title, caption, svg)


def unreachable_lines(findings: Findings) -> Iterator[str]:
    """How many zeros are unreachable weights, for the configuration nearest to 98 %."""
    groups = _with_unreachable(findings)
    if groups:
        group = min(groups, key=lambda g: round(abs(g.first.cost.sparsity - 0.98), 3))
        cost = group.first.cost
        zeros, unreachable = cost.weights - cost.nnz, unreachable_zeros(cost)
        nominal, live = percent_label(cost.sparsity), percent_label(cost.live_sparsity)
        fewer = f"{cost.live / cost.live_nnz:.1f}" if cost.live_nnz else "infinitely many"
        yield (
            f"Unreachable weights: of the {zeros:,} zeros of {group.name} (seed "
            f"{group.first.seed}) {unreachable:,} ({percent_label(unreachable / zeros)}) are "
            f"weights that no input reaches. Nominal {nominal} is {live} of the live weights: "
            f"{fewer} times fewer, not {cost.weights / cost.nnz:.1f}."
        )


def first_against_rank_lines(findings: Findings) -> Iterator[str]:
    """What pruning unreachable weights first gains, by sparsity, in one line."""
    gains = []
    for pair in _pairs(_with_unreachable(findings)):
        tests = tests_between(findings.between, *reversed(pair.names))
        says = verdict(tests) if tests else "not compared"
        says = "the same masks" if pair.same_masks else says
        gains.append(f"{pair.sparsity} {pair.gain.pp} pp ({says})")
    if gains:
        yield (
            "Pruning unreachable weights first instead of by rank, at the same sparsity, by the "
            f"paired test: {'; '.join(gains)}."
        )


def unreachable_zeros(cost: LayerCost) -> int:
    """Zeros on unreachable weights: pruning them changed no output."""
    return (cost.weights - cost.live) - (cost.nnz - cost.live_nnz)


def _with_unreachable(findings: Findings) -> list[RunGroup]:
    """The groups whose networks have unreachable weights, and zeros but not only zeros."""
    costs = ((group, group.first.cost) for group in findings.pruned)
    return [g for g, cost in costs if cost.live < cost.weights and 0 < cost.nnz < cost.weights]


def _effect_of_zeroing(groups: list[RunGroup]) -> str:
    dense = {run.dense.weights_sha256: run.dense for group in groups for run in group.runs}.values()
    changed = sorted({f"{d.changed_without_unreachable:,} of {d.test_images:,}" for d in dense})
    which = f"each of the {len(dense)} dense networks" if len(dense) > 1 else "the dense network"
    return (
        f"Setting them alone to zero in {which} changes the class of {' or '.join(changed)} test "
        "images."
    )


def _axis(name: str, edge: float) -> Axis:
    ticks = tuple((1 - at, f"{100 * at:g}") for at in _TICKS if 1 - at >= edge)
    return Axis(f"{name} (%), on a logarithmic scale of what is left", 1.0, edge, ticks, log=True)


def _mark(group: RunGroup) -> Mark:
    cost = group.first.cost
    words = f"{group.name}\nnominal {cost.sparsity:.2%}, live {cost.live_sparsity:.2%}"
    return Mark(1 - cost.sparsity, 1 - cost.live_sparsity, words)


def _pairs(groups: list[RunGroup]) -> Iterator[RankFirstPair]:
    for first in groups:
        config = without_seeds(first.first.config)
        if config["pruner"]["unreachable"] != "first":
            continue
        for rank in groups:
            other = without_seeds(rank.first.config)
            as_first = {**other, "pruner": {**other["pruner"], "unreachable": "first"}}
            by_start = {(run.seed, run.dense.weights_sha256, run.data): run for run in rank.runs}
            starts = [(run, (run.seed, run.dense.weights_sha256, run.data)) for run in first.runs]
            runs = [(by_start[start], run) for run, start in starts if start in by_start]
            if rank is not first and as_first == config and runs:
                yield RankFirstPair((rank.name, first.name), *map(tuple, zip(*runs, strict=True)))
