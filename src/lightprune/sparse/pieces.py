"""How a map is cut into blocks that fit the registers, and what a block costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from lightprune.sparse.blocks import BLOCKS, LANES, Block, Grouping

# Loads and multiplications that begin in a cycle; cycles from one addition to the next on the
# same accumulator; cycles that a position costs besides.
_AT_ONCE = 2
_LATENCY = 4.0
_EVERY_POSITION = 0.5


@dataclass(frozen=True)
class Piece:
    """A rectangle of a map that one block computes.

    Attributes:
        block: Place in `BLOCKS`.
        row: Its first row of vectors.
        column: Its first vector in that row, or position if channels are lanes.
    """

    block: int
    row: int
    column: int


def cycles(block: Block, load: float) -> float:
    """What one position of weights (of every list) costs, about, in a warm cache.

    Args:
        block: What is computed.
        load: What loading a vector of inputs costs: 2 where it lies across two cache lines.
    """
    grouping = block.grouping
    lists = 1 if grouping.shared else grouping.channels
    weights = grouping.channels // LANES if grouping.in_lanes else grouping.channels
    loads = lists * (block.vectors * load + 1) + weights
    return max(loads / _AT_ONCE, block.accumulators / _AT_ONCE, _LATENCY) + _EVERY_POSITION


@cache
def pieces(grouping: Grouping, rows: int, columns: int, load: float) -> tuple[Piece, ...]:
    """Cuts a map of rows x columns vectors, or positions, into blocks of the grouping, cheaply."""
    costs = {(b.rows, b.columns): cycles(b, load) for b in BLOCKS if b.grouping == grouping}
    widths = sorted({width for _, width in costs})
    heights = {width: [h for h, w in costs if w == width] for width in widths}
    down = {
        width: _cut(rows, heights[width], [costs[height, width] for height in heights[width]])
        for width in widths
    }
    across = _cut(columns, widths, [down[width][0] for width in widths])[1]
    found, column = [], 0
    for width in across:
        row = 0
        for height in down[width][1]:
            found.append(Piece(BLOCKS.index(Block(grouping, height, width)), row, column))
            row += height
        column += width
    return tuple(found)


def _cut(length: int, sizes: Sequence[int], costs: Sequence[float]) -> tuple[float, list[int]]:
    """The cheapest way to cut a length into the sizes, the larger ones first."""
    best: list[tuple[float, list[int]]] = [(0.0, [])]
    for end in range(1, length + 1):
        best.append(
            min(
                (best[end - size][0] + cost, [*best[end - size][1], size])
                for size, cost in zip(sizes, costs, strict=True)
                if size <= end
            )
        )
    return best[length][0], sorted(best[length][1], reverse=True)
