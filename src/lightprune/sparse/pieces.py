"""How a map is cut into blocks that fit the registers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from lightprune.sparse.blocks import BLOCKS, Block, Grouping
from lightprune.sparse.measured import Lines, block_costs


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


@cache
def pieces(grouping: Grouping, rows: int, columns: int, lines: Lines) -> tuple[Piece, ...]:
    """Cuts a map of rows x columns vectors, or positions, into blocks of the grouping, cheaply."""
    costs = {
        (block.rows, block.columns): cost.position
        for block, cost in zip(BLOCKS, block_costs(lines), strict=True)
        if block.grouping == grouping
    }
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
