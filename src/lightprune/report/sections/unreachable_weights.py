"""Unreachable weights: how many of the zeros they are, and what pruning them first gains."""

from collections.abc import Iterator
from dataclasses import dataclass

from lightprune.pruning.cost.cost_report import LayerCost
from lightprune.rendering.document import Block, Table
from lightprune.report.comparisons import Comparison
from lightprune.report.findings import Findings
from lightprune.report.groups import RunGroup, percent_label, without_seeds
from lightprune.report.reported_run import ReportedRun
from lightprune.report.statistics import MeanStd


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

    def tests(self, findings: Findings) -> list[Comparison]:
        """The paired comparisons of the two groups."""
        return [c for c in findings.between if {c.first, c.second} == {*self.names}]


def unreachable_section(findings: Findings) -> Iterator[Block]:
    """Counts for each configuration, and `first` against `rank`."""
    groups = _with_unreachable(findings)
    if not groups:
        if findings.pruned:
            yield "Every prunable weight of the networks pruned here is reached by some input."
        return
    # A run for each network that was pruned, as far as counts tell.
    networks = {(g.first.cost.weights, g.first.cost.live): g.first.cost for g in groups}
    yield from map(_counts, networks.values())
    yield from unreachable_lines(findings)
    yield _effect_of_zeroing(groups)
    yield Table.of(_row(group.name, run) for group in groups for run in group.runs)
    if pairs := list(_pairs(groups)):
        yield _meaning(pairs)
        yield Table.of(_pair_row(pair, findings) for pair in pairs)
    else:
        yield "No two of these runs differ in `pruner.unreachable` alone."


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
        separated = all(test.separated and not test.obstacle for test in pair.tests(findings))
        verdict = "separated" if separated else "not separated"
        verdict = "the same masks" if pair.same_masks else verdict
        gains.append(f"{pair.sparsity} {pair.gain.pp} pp ({verdict})")
    if gains:
        yield (
            "Pruning unreachable weights first instead of by rank, at the same sparsity: "
            f"{'; '.join(gains)} by the paired test."
        )


def unreachable_zeros(cost: LayerCost) -> int:
    """Zeros on unreachable weights: pruning them changed no output."""
    return (cost.weights - cost.live) - (cost.nnz - cost.live_nnz)


def _with_unreachable(findings: Findings) -> list[RunGroup]:
    """The groups whose networks have unreachable weights, and zeros but not only zeros."""
    costs = ((group, group.first.cost) for group in findings.pruned)
    return [g for g, cost in costs if cost.live < cost.weights and 0 < cost.nnz < cost.weights]


def _counts(cost: LayerCost) -> str:
    count = cost.weights - cost.live
    return (
        f"{count:,} of the {cost.weights:,} prunable weights "
        f"({percent_label(count / cost.weights)}) only ever multiply padding: no input reaches "
        "them, and their zeros cost nothing and save nothing. Sparsities up to that share are free "
        "by construction; nominal sparsity counts these zeros, live sparsity does not."
    )


def _effect_of_zeroing(groups: list[RunGroup]) -> str:
    dense = {run.dense.weights_sha256: run.dense for group in groups for run in group.runs}.values()
    changed = sorted({f"{d.changed_without_unreachable:,} of {d.test_images:,}" for d in dense})
    which = f"each of the {len(dense)} dense networks" if len(dense) > 1 else "the dense network"
    return (
        f"Setting them alone to zero in {which} changes the class of {' or '.join(changed)} test "
        "images."
    )


def _row(name: str, run: ReportedRun) -> dict[str, str]:
    cost = run.cost
    zeros, unreachable = cost.weights - cost.nnz, unreachable_zeros(cost)
    return {
        "configuration": name,
        "seed": str(run.seed),
        "sparsity": f"{100 * cost.sparsity:.2f} %",
        "zeros": f"{zeros:,}",
        "unreachable zeros": f"{unreachable:,}",
        "share of the zeros": f"{100 * unreachable / zeros:.1f} %",
        "unreachable weights kept": f"{cost.nnz - cost.live_nnz:,}",
        "live weights kept": f"{cost.live_nnz:,}",
        "live sparsity": f"{100 * cost.live_sparsity:.2f} %",
    }


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


def _meaning(pairs: list[RankFirstPair]) -> str:
    words = (
        "`unreachable=rank` ranks unreachable weights with the others, `first` prunes all of them "
        "before any live one, so that at the same nominal sparsity more live weights stay."
    )
    if same := [pair.sparsity for pair in pairs if pair.same_masks]:
        words += (
            f" At {', '.join(same)} ranking alone removed every unreachable weight already: the "
            "masks are the same, bit by bit, and so `first` can gain nothing there."
        )
    return words


def _pair_row(pair: RankFirstPair, findings: Findings) -> dict[str, str]:
    nonzero = [float(run.cost.nnz - run.cost.live_nnz) for run in pair.rank]
    return {
        "sparsity": pair.sparsity,
        "seeds": ", ".join(str(run.seed) for run in pair.first),
        "rank: unreachable weights kept": f"{MeanStd.of(nonzero).mean:,.0f}",
        "rank: accuracy": MeanStd.of([run.test.accuracy for run in pair.rank]).percent,
        "first: accuracy": MeanStd.of([run.test.accuracy for run in pair.first]).percent,
        "first − rank (pp)": pair.gain.pp,
        "paired test": "; ".join(f"seed {c.seed}: {c.verdict}" for c in pair.tests(findings)),
    }
