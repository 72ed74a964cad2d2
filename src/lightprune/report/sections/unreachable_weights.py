"""Unreachable weights: how many of the zeros they are, and what pruning them first gains."""

from collections.abc import Iterator
from dataclasses import dataclass

from lightprune.rendering.document import Block, Section, Table
from lightprune.report.comparisons import Comparison
from lightprune.report.findings import Findings
from lightprune.report.groups import RunGroup, percent_label, target_sparsity, without_seeds
from lightprune.report.reported_run import ReportedRun
from lightprune.report.statistics import MeanStd

_TITLE = "Unreachable weights"


@dataclass(frozen=True)
class ZeroCounts:
    """The zeros of a network, and how many of them lie on weights that no input reaches.

    Attributes:
        unreachable: Unreachable weights, zero or not.
        unreachable_nonzero: Unreachable weights that are not zero.
        total: All zeros.
    """

    unreachable: int
    unreachable_nonzero: int
    total: int

    @classmethod
    def of(cls, run: ReportedRun) -> "ZeroCounts":
        """The counts of a run's pruned network."""
        cost = run.cost
        return cls(cost.weights - cost.live, cost.nnz - cost.live_nnz, cost.weights - cost.nnz)

    @property
    def unreachable_zeros(self) -> int:
        """Zeros on unreachable weights: pruning them changed no output."""
        return self.unreachable - self.unreachable_nonzero


@dataclass(frozen=True)
class RankFirstPair:
    """Runs that differ in `pruner.unreachable` alone: seed by seed, of the same dense networks."""

    names: tuple[str, str]
    rank: tuple[ReportedRun, ...]
    first: tuple[ReportedRun, ...]

    @property
    def same_masks(self) -> bool:
        """Whether `first` pruned exactly what `rank` did."""
        masks = [tuple(run.events[-1].digest for run in runs) for runs in (self.rank, self.first)]
        return masks[0] == masks[1]

    @property
    def gain(self) -> MeanStd:
        """Accuracy of `first` less that of `rank`."""
        pairs = zip(self.rank, self.first, strict=True)
        return MeanStd.of([first.test.accuracy - rank.test.accuracy for rank, first in pairs])


def unreachable_section(findings: Findings) -> Section:
    """Counts for each configuration, and `first` against `rank`."""
    groups = _with_unreachable(findings)
    if not groups:
        words = "Every prunable weight of the networks pruned here is reached by some input."
        return Section(_TITLE, (words,) if findings.pruned else ())
    blocks: list[Block] = [
        *map(_counts, _one_run_a_network(groups)),
        *unreachable_lines(findings),
        _effect_of_zeroing(groups),
        Table.of(_row(group.name, run) for group in groups for run in group.runs),
    ]
    pairs = list(_pairs(groups))
    if not pairs:
        words = "No two of these runs differ in `pruner.unreachable` alone."
        return Section(_TITLE, (*blocks, words))
    table = Table.of(_pair_row(pair, findings.between) for pair in pairs)
    return Section(_TITLE, (*blocks, _meaning(pairs), table))


def unreachable_lines(findings: Findings) -> Iterator[str]:
    """How many zeros are unreachable weights, for the configuration nearest to 98 %."""
    groups = _with_unreachable(findings)
    if groups:
        group = min(groups, key=lambda g: round(abs(g.first.cost.sparsity - 0.98), 3))
        zeros, cost = ZeroCounts.of(group.first), group.first.cost
        share = percent_label(zeros.unreachable_zeros / zeros.total)
        nominal, live = percent_label(cost.sparsity), percent_label(cost.live_sparsity)
        fewer = f"{cost.live / cost.live_nnz:.1f}" if cost.live_nnz else "infinitely many"
        yield (
            f"Unreachable weights: of the {zeros.total:,} zeros of {group.name} (seed "
            f"{group.first.seed}) {zeros.unreachable_zeros:,} ({share}) are weights that no input "
            f"reaches. Nominal {nominal} is {live} of the live weights: {fewer} times fewer, not "
            f"{cost.weights / cost.nnz:.1f}."
        )


def first_against_rank_lines(findings: Findings) -> Iterator[str]:
    """What pruning unreachable weights first gains, by sparsity, in one line."""
    gains = []
    for pair in _pairs(_with_unreachable(findings)):
        tests = [c for c in findings.between if {c.first, c.second} == {*pair.names}]
        separated = all(test.separated and not test.obstacle for test in tests)
        verdict = "separated" if separated else "not separated"
        if pair.same_masks:
            verdict = "the same masks"
        sparsity = percent_label(target_sparsity(pair.first[0]))
        gains.append(f"{sparsity} {pair.gain.pp} pp ({verdict})")
    if gains:
        yield (
            "Pruning unreachable weights first instead of by rank, at the same sparsity: "
            f"{'; '.join(gains)} by the paired test."
        )


def _with_unreachable(findings: Findings) -> list[RunGroup]:
    """The groups whose networks have unreachable weights, and zeros."""
    pruned = [group for group in findings.pruned if group.first.cost.nnz]
    counts = [ZeroCounts.of(group.first) for group in pruned]
    return [
        group
        for group, zeros in zip(pruned, counts, strict=True)
        if zeros.unreachable and zeros.total
    ]


def _one_run_a_network(groups: list[RunGroup]) -> list[ReportedRun]:
    """A run for each network that was pruned, as far as counts tell."""
    return list({(g.first.cost.weights, g.first.cost.live): g.first for g in groups}.values())


def _counts(run: ReportedRun) -> str:
    count, cost = ZeroCounts.of(run).unreachable, run.cost
    return (
        f"{count:,} of the {cost.weights:,} prunable weights "
        f"({percent_label(count / cost.weights)}) only ever multiply padding: no input reaches "
        "them, and their zeros cost nothing and save nothing. Sparsities up to that share are free "
        "by construction; nominal sparsity counts these zeros, live sparsity does not."
    )


def _effect_of_zeroing(groups: list[RunGroup]) -> str:
    """What zeroing the unreachable weights alone does to every dense network."""
    dense = {run.dense.weights_sha256: run.dense for group in groups for run in group.runs}.values()
    changed = sorted({f"{d.changed_without_unreachable:,} of {d.test_images:,}" for d in dense})
    which = f"each of the {len(dense)} dense networks" if len(dense) > 1 else "the dense network"
    return (
        f"Setting them alone to zero in {which} changes the class of {' or '.join(changed)} test "
        "images."
    )


def _row(name: str, run: ReportedRun) -> dict[str, str]:
    zeros = ZeroCounts.of(run)
    return {
        "configuration": name,
        "seed": str(run.seed),
        "sparsity": f"{100 * run.cost.sparsity:.2f} %",
        "zeros": f"{zeros.total:,}",
        "unreachable zeros": f"{zeros.unreachable_zeros:,}",
        "share of the zeros": f"{100 * zeros.unreachable_zeros / zeros.total:.1f} %",
        "unreachable weights kept": f"{zeros.unreachable_nonzero:,}",
        "live weights kept": f"{run.cost.live_nnz:,}",
        "live sparsity": f"{100 * run.cost.live_sparsity:.2f} %",
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
    same = [percent_label(target_sparsity(pair.first[0])) for pair in pairs if pair.same_masks]
    if same:
        words += (
            f" At {', '.join(same)} ranking alone removed every unreachable weight already: the "
            "masks are the same, bit by bit, and so `first` can gain nothing there."
        )
    return words


def _pair_row(pair: RankFirstPair, comparisons: tuple[Comparison, ...]) -> dict[str, str]:
    tests = [c for c in comparisons if {c.first, c.second} == {*pair.names}]
    nonzero = [float(ZeroCounts.of(run).unreachable_nonzero) for run in pair.rank]
    return {
        "sparsity": percent_label(target_sparsity(pair.first[0])),
        "seeds": ", ".join(str(run.seed) for run in pair.first),
        "rank: unreachable weights kept": f"{MeanStd.of(nonzero).mean:,.0f}",
        "rank: accuracy": MeanStd.of([run.test.accuracy for run in pair.rank]).percent,
        "first: accuracy": MeanStd.of([run.test.accuracy for run in pair.first]).percent,
        "first − rank (pp)": pair.gain.pp,
        "paired test": "; ".join(f"seed {c.seed}: {c.verdict}" for c in tests),
    }
