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
    st.integers(0, 40),
)
def test_tiles_cover_every_vector_once(channel_block, rows, columns, alignment, band):
    covered = np.zeros((rows, columns), int)

    for tile_ in tile(channel_block, rows, columns, alignment, band):
        block = REGISTER_BLOCKS[tile_.block]
        assert block.channel_block == channel_block
        assert tile_.row + block.rows <= rows
        assert tile_.column + block.columns <= columns
        if band:
            assert tile_.column // band == (tile_.column + block.columns - 1) // band
        covered[tile_.row : tile_.row + block.rows, tile_.column :][:, : block.columns] += 1

    assert (covered == 1).all()


@pytest.mark.parametrize("channel_block", SINGLE_IMAGE_BLOCKS)
def test_the_tiles_of_a_large_map_take_little_memory(channel_block):
    tracemalloc.start()
    tiles = tile(channel_block, 1, 64 * 64, InputAlignment.ALIGNED)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(tiles) <= 64 * 64
    assert peak < 4 * 2**20


@pytest.mark.parametrize("channel_block", SINGLE_IMAGE_BLOCKS)
def test_every_channel_block_has_a_register_block_of_one_vector(channel_block):
    assert RegisterBlock(channel_block, 1, 1) in REGISTER_BLOCKS
