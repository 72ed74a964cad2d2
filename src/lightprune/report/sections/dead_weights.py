"""The finding on dead weights: which zeros were never alive, and what pruning them first buys."""

from collections.abc import Iterator
from dataclasses import dataclass

from lightprune.rendering.document import Block, Section, Table, Text
from lightprune.report.comparisons import Comparison
from lightprune.report.findings import Findings
from lightprune.report.groups import RunGroup, percent, target_sparsity, without_seeds
from lightprune.report.reported_run import ReportedRun
from lightprune.report.statistics import Summary

_TITLE = "Dead weights"


@dataclass(frozen=True)
class Zeros:
    """The zeros of a network, told apart by whether some input could reach the weight.

    Attributes:
        dead: Dead weights that the network has, zero or not.
        dead_kept: Dead weights that are not zero.
        total: All zeros.
    """

    dead: int
    dead_kept: int
    total: int

    @classmethod
    def of(cls, run: ReportedRun) -> "Zeros":
        """Counts them."""
        cost = run.cost
        return cls(cost.weights - cost.live, cost.nnz - cost.live_nnz, cost.weights - cost.nnz)

    @property
    def never_alive(self) -> int:
        """Zeros on dead weights: pruning them changed no output."""
        return self.dead - self.dead_kept


@dataclass(frozen=True)
class Pair:
    """Runs that differ in `pruner.unreachable` alone: seed by seed, of the same dense networks."""

    names: tuple[str, str]
    rank: tuple[ReportedRun, ...]
    first: tuple[ReportedRun, ...]

    @property
    def same_masks(self) -> bool:
        """Whether `first` pruned what `rank` did."""
        masks = [tuple(run.events[-1].digest for run in runs) for runs in (self.rank, self.first)]
        return masks[0] == masks[1]

    @property
    def bought(self) -> Summary:
        """Accuracy of `first` less that of `rank`."""
        both = zip(self.rank, self.first, strict=True)
        return Summary.of([first.test.accuracy - rank.test.accuracy for rank, first in both])


def dead(findings: Findings) -> Section:
    """In words, per cell, and `first` against `rank`."""
    cells = _with_dead(findings)
    if not cells:
        words = "Every prunable weight of the networks pruned here is reached by some input."
        return Section(_TITLE, (Text(words),) if findings.pruned else ())
    blocks: list[Block] = [
        *(Text(_found(run)) for run in _networks(cells)),
        *map(Text, never_alive(findings)),
        Text(_zeroed(cells)),
        Table.of(_row(cell.name, run) for cell in cells for run in cell.runs),
    ]
    pairs = list(_pairs(cells))
    if not pairs:
        words = "No two of these runs differ in `pruner.unreachable` alone."
        return Section(_TITLE, (*blocks, Text(words)))
    table = Table.of(_pair_row(pair, findings.between) for pair in pairs)
    return Section(_TITLE, (*blocks, Text(_meaning(pairs)), table))


def never_alive(findings: Findings) -> Iterator[str]:
    """The part of a nominal sparsity that was never alive, of the cell nearest to 98 %."""
    cells = _with_dead(findings)
    if cells:
        cell = min(cells, key=lambda c: round(abs(c.first.cost.sparsity - 0.98), 3))
        zeros, cost = Zeros.of(cell.first), cell.first.cost
        fewer = f"{cost.live / cost.live_nnz:.1f}" if cost.live_nnz else "infinitely many"
        yield (
            f"Dead weights: of the {zeros.total:,} zeros of {cell.name} (seed {cell.first.seed}) "
            f"{zeros.never_alive:,} ({percent(zeros.never_alive / zeros.total)}) were never alive. "
            f"Nominal {percent(cost.sparsity)} is {percent(cost.live_sparsity)} of the live "
            f"weights: {fewer} times fewer, not {cost.weights / cost.nnz:.1f}."
        )


def first_against_rank(findings: Findings) -> Iterator[str]:
    """What pruning dead weights first buys, a sparsity each, in one line."""
    bought = []
    for pair in _pairs(_with_dead(findings)):
        tests = [c for c in findings.between if {c.first, c.second} == {*pair.names}]
        apart = all(test.separated and not test.obstacle for test in tests)
        words = "the same masks" if pair.same_masks else "separated" if apart else "not separated"
        sparsity = percent(target_sparsity(pair.first[0]))
        bought.append(f"{sparsity} {pair.bought.points} points ({words})")
    if bought:
        yield (
            "Pruning dead weights first instead of by rank, at the same sparsity: "
            f"{'; '.join(bought)} by the paired test."
        )


def _with_dead(findings: Findings) -> list[RunGroup]:
    """The cells whose networks have dead weights."""
    found = [(cell, Zeros.of(cell.first)) for cell in findings.pruned if cell.first.cost.nnz]
    return [cell for cell, zeros in found if zeros.dead and zeros.total]


def _networks(cells: list[RunGroup]) -> list[ReportedRun]:
    """A run for each network that was pruned, as far as counts tell."""
    return list({(c.first.cost.weights, c.first.cost.live): c.first for c in cells}.values())


def _found(run: ReportedRun) -> str:
    count, cost = Zeros.of(run).dead, run.cost
    return (
        f"{count:,} of the {cost.weights:,} prunable weights ({percent(count / cost.weights)}) "
        "only ever multiply padding: no input reaches them, and their zeros cost nothing and save "
        "nothing. Sparsities up to that share are free by construction; nominal sparsity counts "
        "these zeros, live sparsity does not."
    )


def _zeroed(cells: list[RunGroup]) -> str:
    """What pruning the dead weights alone does to every dense network."""
    dense = {run.dense.weights_sha256: run.dense for cell in cells for run in cell.runs}.values()
    seen = sorted({f"{d.changed_without_unreachable:,} of {d.test_images:,}" for d in dense})
    which = f"each of the {len(dense)} dense networks" if len(dense) > 1 else "the dense network"
    return (
        f"Setting them alone to zero in {which} changes the class of {' or '.join(seen)} test "
        "images."
    )


def _row(name: str, run: ReportedRun) -> dict[str, str]:
    zeros = Zeros.of(run)
    return {
        "cell": name,
        "seed": str(run.seed),
        "sparsity": f"{100 * run.cost.sparsity:.2f} %",
        "zeros": f"{zeros.total:,}",
        "of them never alive": f"{zeros.never_alive:,}",
        "share never alive": f"{100 * zeros.never_alive / zeros.total:.1f} %",
        "dead weights kept": f"{zeros.dead_kept:,}",
        "live weights kept": f"{run.cost.live_nnz:,}",
        "live sparsity": f"{100 * run.cost.live_sparsity:.2f} %",
    }


def _pairs(cells: list[RunGroup]) -> Iterator[Pair]:
    """Runs that differ in `pruner.unreachable` alone, by cell."""
    for first in cells:
        if first.first.config["pruner"]["unreachable"] != "first":
            continue
        for rank in cells:
            theirs, mine = (without_seeds(cell.first.config) for cell in (rank, first))
            as_first = {**theirs, "pruner": {**theirs["pruner"], "unreachable": "first"}}
            by_start = {(run.seed, run.dense.weights_sha256, run.data): run for run in rank.runs}
            starts = [(run, (run.seed, run.dense.weights_sha256, run.data)) for run in first.runs]
            runs = [(by_start[start], run) for run, start in starts if start in by_start]
            if rank is not first and as_first == mine and runs:
                yield Pair((rank.name, first.name), *map(tuple, zip(*runs, strict=True)))


def _meaning(pairs: list[Pair]) -> str:
    """When `first` can change anything at all."""
    words = (
        "`unreachable=rank` lets dead weights compete with live ones, `first` prunes all of them "
        "before any live one, so that at the same nominal sparsity more live weights stay."
    )
    if idle := [percent(target_sparsity(pair.first[0])) for pair in pairs if pair.same_masks]:
        words += (
            f" At {', '.join(idle)} ranking alone removed every dead weight already: the masks are "
            "the same, bit by bit, and so `first` can buy nothing there."
        )
    return words


def _pair_row(pair: Pair, comparisons: tuple[Comparison, ...]) -> dict[str, str]:
    tests = [c for c in comparisons if {c.first, c.second} == {*pair.names}]
    kept = Summary.of([float(Zeros.of(run).dead_kept) for run in pair.rank]).mean
    return {
        "sparsity": percent(target_sparsity(pair.first[0])),
        "seeds": ", ".join(str(run.seed) for run in pair.first),
        "rank: dead weights kept": f"{kept:,.0f}",
        "rank: accuracy": Summary.of([run.test.accuracy for run in pair.rank]).percent,
        "first: accuracy": Summary.of([run.test.accuracy for run in pair.first]).percent,
        "first − rank (points)": pair.bought.points,
        "what the paired test says": "; ".join(f"seed {c.seed}: {c.verdict}" for c in tests),
    }
