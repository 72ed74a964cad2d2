"""How a map is cut into blocks that fit the registers."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from lightprune.sparse.codegen.cost_model import InputAlignment, block_costs
from lightprune.sparse.isa.register_blocks import REGISTER_BLOCKS, ChannelBlock, RegisterBlock


@dataclass(frozen=True)
class Tile:
    """A rectangle of a map that one block computes.

    Attributes:
        block: Place in `REGISTER_BLOCKS`.
        row: Its first row of vectors.
        column: Its first vector in that row, or position if channels are lanes.
    """

    block: int
    row: int
    column: int


@cache
def tile(
    grouping: ChannelBlock, rows: int, columns: int, lines: InputAlignment
) -> tuple[Tile, ...]:
    """Cuts a map of rows x columns vectors, or positions, into blocks of the grouping, cheaply."""
    costs = {
        (block.rows, block.columns): cost.position
        for block, cost in zip(REGISTER_BLOCKS, block_costs(lines), strict=True)
        if block.grouping == grouping
    }
    widths = sorted({width for _, width in costs})
    heights = {width: [h for h, w in costs if w == width] for width in widths}
    down = {
        width: _partition(rows, heights[width], [costs[height, width] for height in heights[width]])
        for width in widths
    }
    places = {block: index for index, block in enumerate(REGISTER_BLOCKS)}
    across = _partition(columns, widths, [down[width][0] for width in widths])[1]
    found, column = [], 0
    for width in across:
        row = 0
        for height in down[width][1]:
            found.append(Tile(places[RegisterBlock(grouping, height, width)], row, column))
            row += height
        column += width
    return tuple(found)


def _partition(
    length: int, sizes: Sequence[int], costs: Sequence[float]
) -> tuple[float, list[int]]:
    """The cheapest way to cut a length into the sizes, the larger ones first."""
    # The last size of the cheapest cut of every shorter length: whole cuts would take memory in
    # proportion to the square of the length, which may be that of all positions of a map.
    seconds, last = [0.0], [0]
    for end in range(1, length + 1):
        cheapest, size = min(
            (seconds[end - size] + cost, size)
            for size, cost in zip(sizes, costs, strict=True)
            if size <= end
        )
        seconds.append(cheapest)
        last.append(size)
    cut, rest = [], length
    while rest:
        cut.append(last[rest])
        rest -= last[rest]
    return seconds[length], sorted(cut, reverse=True)
