"""The finding on dead weights: which zeros were never alive, and what pruning them first buys."""

from collections.abc import Iterator
from dataclasses import dataclass

from lightprune.report.cells import Cell, asked_sparsity, percent, without_seeds
from lightprune.report.comparisons import Comparison
from lightprune.report.document import Block, Table, Text
from lightprune.report.run import Run
from lightprune.report.statistics import Summary
from lightprune.report.wording import points_text


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
    def of(cls, run: Run) -> "Zeros":
        """Counts them."""
        cost = run.cost
        return cls(cost.weights - cost.live, cost.nnz - cost.live_nnz, cost.weights - cost.nnz)

    @property
    def never_alive(self) -> int:
        """Zeros on dead weights: pruning them changed no output."""
        return self.dead - self.dead_kept


def dead_weights(cells: tuple[Cell, ...], comparisons: tuple[Comparison, ...]) -> list[Block]:
    """The section: in words, per cell, and `first` against `rank`."""
    pruned = [cell for cell in cells if cell.first.events]
    if not pruned:
        return [Text("Nothing was pruned in these runs.")]
    cost = pruned[0].first.cost
    if cost.live == cost.weights:
        return [Text("Every prunable weight of this network is reached by some input.")]
    dead, dense = cost.weights - cost.live, pruned[0].first.dense
    blocks: list[Block] = [
        Text(
            f"{dead:,} of the {cost.weights:,} prunable weights ({dead / cost.weights:.2%}) only "
            "ever multiply padding: no input reaches them, and their zeros cost nothing and save "
            "nothing. Sparsities up to that share are free by construction; nominal sparsity "
            "counts these zeros, live sparsity does not. Setting them alone to zero in the dense "
            f"network (seed {pruned[0].first.seed}) changes the class of "
            f"{dense.changed_without_dead:,} of {dense.images:,} test images."
        ),
        _most(pruned),
        _table(pruned),
    ]
    pairs = list(_pairs(pruned))
    if not pairs:
        words = "No two of these runs differ in `pruner.dead_weights` alone."
        return [*blocks, Text(words)]
    rows = [_pair_row(rank, first, comparisons) for rank, first in pairs]
    columns = (
        "sparsity",
        "seeds",
        "rank: dead weights kept",
        "rank: accuracy",
        "first: accuracy",
        "first − rank (points)",
        "what the paired test says",
    )
    return [*blocks, Text(_meaning(pairs)), Table(columns, tuple(rows))]


def _most(cells: list[Cell]) -> Text:
    """The part of a nominal sparsity that was never alive, of the cell nearest to 98 %."""
    cell = min(cells, key=lambda c: round(abs(c.first.cost.sparsity - 0.98), 3))
    zeros, cost = Zeros.of(cell.first), cell.first.cost
    left = cost.live / cost.live_nnz if cost.live_nnz else float("inf")
    return Text(
        f"Example: {cell.name} (seed {cell.first.seed}) has {zeros.total:,} zeros; "
        f"{zeros.never_alive:,} of them ({zeros.never_alive / zeros.total:.1%}) were never alive. "
        f"Nominal {cost.sparsity:.2%} is {cost.live_sparsity:.2%} of the live weights: "
        f"{left:.1f} times fewer, not {cost.weights / cost.nnz:.1f}."
        if zeros.total and cost.nnz
        else f"Example: {cell.name} has no weight left, or none pruned."
    )


def _table(cells: list[Cell]) -> Table:
    columns = (
        "cell",
        "seed",
        "sparsity",
        "zeros",
        "of them never alive",
        "share never alive",
        "dead weights kept",
        "live weights kept",
        "live sparsity",
    )
    rows = []
    for cell in cells:
        for run in cell.runs:
            zeros = Zeros.of(run)
            share = zeros.never_alive / zeros.total if zeros.total else 0.0
            counts = (zeros.dead_kept, run.cost.live_nnz)
            rows.append(
                (
                    cell.name,
                    str(run.seed),
                    f"{100 * run.cost.sparsity:.2f} %",
                    f"{zeros.total:,}",
                    f"{zeros.never_alive:,}",
                    f"{100 * share:.1f} %",
                    *(f"{count:,}" for count in counts),
                    f"{100 * run.cost.live_sparsity:.2f} %",
                )
            )
    return Table(columns, tuple(rows))


def _pairs(cells: list[Cell]) -> Iterator[tuple[Cell, Cell]]:
    """Cells that differ in `pruner.dead_weights` alone: `rank` and `first`."""
    for first in cells:
        if first.first.config["pruner"]["dead_weights"] != "first":
            continue
        for rank in cells:
            theirs, mine = (without_seeds(cell.first.config) for cell in (rank, first))
            as_first = {**theirs, "pruner": {**theirs["pruner"], "dead_weights": "first"}}
            same = as_first == mine and rank.first.data == first.first.data
            if rank is not first and same:
                yield rank, first


def _meaning(pairs: list[tuple[Cell, Cell]]) -> str:
    """When `first` can change anything at all."""
    idle = [
        percent(asked_sparsity(rank.first)) for rank, first in pairs if _same_masks(rank, first)
    ]
    words = (
        "`dead_weights=rank` lets dead weights compete with live ones, `first` prunes all of them "
        "before any live one, so that at the same nominal sparsity more live weights stay."
    )
    if idle:
        words += (
            f" At {', '.join(idle)} ranking alone removed every dead weight already: the masks are "
            "the same, bit by bit, and so `first` can buy nothing there."
        )
    return words


def _same_masks(one: Cell, other: Cell) -> bool:
    """Whether the runs of equal seed ended with equal masks, and there are such runs."""
    masks = {run.seed: run.events[-1].digest for run in one.runs}
    alike = [masks[run.seed] == run.events[-1].digest for run in other.runs if run.seed in masks]
    return bool(alike) and all(alike)


def _pair_row(rank: Cell, first: Cell, comparisons: tuple[Comparison, ...]) -> tuple[str, ...]:
    by_seed = {run.seed: run for run in rank.runs}
    differences = [
        run.accuracy - by_seed[run.seed].accuracy for run in first.runs if run.seed in by_seed
    ]
    kept = Summary.of([float(Zeros.of(run).dead_kept) for run in rank.runs]).mean
    said = [
        f"seed {c.seed}: {c.verdict}"
        for c in comparisons
        if {c.first, c.second} == {rank.name, first.name}
    ]
    accuracies = [Summary.of([run.accuracy for run in cell.runs]).mean for cell in (rank, first)]
    mean = points_text(Summary.of(differences)) if differences else ""
    return (
        percent(asked_sparsity(first.first)),
        first.seeds,
        f"{kept:,.0f}",
        *(f"{100 * accuracy:.2f} %" for accuracy in accuracies),
        mean,
        "; ".join(said) or "no runs of equal seed",
    )
