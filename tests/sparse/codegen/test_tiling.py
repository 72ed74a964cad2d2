import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightprune.sparse.codegen.cost_model import Lines
from lightprune.sparse.codegen.tiling import tile
from lightprune.sparse.isa.register_blocks import BLOCKS, NARROW_GROUPINGS, SINGLE_GROUPINGS, Block


@given(
    st.sampled_from([*SINGLE_GROUPINGS, *NARROW_GROUPINGS]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(Lines),
)
def test_pieces_cover_every_vector_once(grouping, rows, columns, lines):
    covered = np.zeros((rows, columns), int)

    for piece in tile(grouping, rows, columns, lines):
        block = BLOCKS[piece.block]
        assert block.grouping == grouping
        assert piece.row + block.rows <= rows
        assert piece.column + block.columns <= columns
        covered[piece.row : piece.row + block.rows, piece.column :][:, : block.columns] += 1

    assert (covered == 1).all()


@pytest.mark.parametrize("grouping", SINGLE_GROUPINGS)
def test_the_pieces_of_a_large_map_take_little_memory(grouping):
    tracemalloc.start()
    found = tile(grouping, 1, 64 * 64, Lines.WHOLE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(found) <= 64 * 64
    assert peak < 4 * 2**20


@pytest.mark.parametrize("grouping", SINGLE_GROUPINGS)
def test_every_grouping_has_a_block_of_one_vector(grouping):
    assert Block(grouping, 1, 1) in BLOCKS
