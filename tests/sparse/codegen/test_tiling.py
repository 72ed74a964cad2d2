import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightprune.sparse.codegen.cost_model import InputAlignment
from lightprune.sparse.codegen.tiling import tile
from lightprune.sparse.isa.register_blocks import (
    REGISTER_BLOCKS,
    SINGLE_IMAGE_BLOCKS,
    SMALL_MAP_BLOCKS,
    RegisterBlock,
)


@given(
    st.sampled_from([*SINGLE_IMAGE_BLOCKS, *SMALL_MAP_BLOCKS]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(InputAlignment),
)
def test_pieces_cover_every_vector_once(grouping, rows, columns, lines):
    covered = np.zeros((rows, columns), int)

    for piece in tile(grouping, rows, columns, lines):
        block = REGISTER_BLOCKS[piece.block]
        assert block.grouping == grouping
        assert piece.row + block.rows <= rows
        assert piece.column + block.columns <= columns
        covered[piece.row : piece.row + block.rows, piece.column :][:, : block.columns] += 1

    assert (covered == 1).all()


@pytest.mark.parametrize("grouping", SINGLE_IMAGE_BLOCKS)
def test_the_pieces_of_a_large_map_take_little_memory(grouping):
    tracemalloc.start()
    found = tile(grouping, 1, 64 * 64, InputAlignment.WHOLE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(found) <= 64 * 64
    assert peak < 4 * 2**20


@pytest.mark.parametrize("grouping", SINGLE_IMAGE_BLOCKS)
def test_every_grouping_has_a_block_of_one_vector(grouping):
    assert RegisterBlock(grouping, 1, 1) in REGISTER_BLOCKS
