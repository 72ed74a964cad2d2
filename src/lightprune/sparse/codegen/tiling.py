"""Tiling: an output map as rectangles that fit register blocks, at the least cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from lightprune.sparse.codegen.cost_model import InputAlignment, block_costs
from lightprune.sparse.isa.register_blocks import REGISTER_BLOCKS, ChannelBlock, RegisterBlock


@dataclass(frozen=True)
class Tile:
    """A rectangle of a map that one register block computes.

    Attributes:
        block: Index in `REGISTER_BLOCKS`.
        row: Its first row of vectors.
        column: Its first vector in that row, or pixel if channels are lanes.
    """

    block: int
    row: int
    column: int

    @property
    def last_row(self) -> int:
        """Its last row of vectors."""
        return self.row + REGISTER_BLOCKS[self.block].rows - 1


@cache
def tile(
    channel_block: ChannelBlock, rows: int, columns: int, alignment: InputAlignment, band: int = 0
) -> tuple[Tile, ...]:
    """Tiles a map of rows x columns vectors, or pixels, with the blocks of a channel block.

    No tile reaches across the border of two bands of so many columns, if that is not 0.
    """
    if 0 < band < columns:
        return tuple(
            replace(part, column=first + part.column)
            for first in range(0, columns, band)
            for part in tile(channel_block, rows, min(band, columns - first), alignment)
        )
    costs = {
        (block.rows, block.columns): cost.per_entry
        for block, cost in zip(REGISTER_BLOCKS, block_costs(alignment), strict=True)
        if block.channel_block == channel_block
    }
    widths = sorted({width for _, width in costs})
    heights = {width: [h for h, w in costs if w == width] for width in widths}
    vertical = {
        width: _partition(rows, heights[width], [costs[height, width] for height in heights[width]])
        for width in widths
    }
    indices = {block: index for index, block in enumerate(REGISTER_BLOCKS)}
    horizontal = _partition(columns, widths, [vertical[width][0] for width in widths])[1]
    tiles, column = [], 0
    for width in horizontal:
        row = 0
        for height in vertical[width][1]:
            block = RegisterBlock(channel_block, height, width)
            tiles.append(Tile(indices[block], row, column))
            row += height
        column += width
    return tuple(tiles)


def _partition(
    length: int, sizes: Sequence[int], costs: Sequence[float]
) -> tuple[float, list[int]]:
    """The cheapest way to split a length into the sizes, the larger ones first; and its cost."""
    # The last size of the cheapest partition of every shorter length: whole partitions would take
    # memory in proportion to the square of the length, which may be that of all pixels of a map.
    totals, last = [0.0], [0]
    for end in range(1, length + 1):
        total, size = min(
            (totals[end - size] + cost, size)
            for size, cost in zip(sizes, costs, strict=True)
            if size <= end
        )
        totals.append(total)
        last.append(size)
    parts, rest = [], length
    while rest:
        parts.append(last[rest])
        rest -= last[rest]
    return totals[length], sorted(parts, reverse=True)
