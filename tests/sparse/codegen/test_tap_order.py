import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightprune.sparse.codegen.kernel_choice import choose_kernel
from lightprune.sparse.codegen.memory_plan import plan_memory
from lightprune.sparse.codegen.tap_order import ALL_ROWS, channels_per_chunk, tap_rows
from lightprune.sparse.isa.register_blocks import CHANNEL_BLOCKS, LANES, REGISTER_BLOCKS
from tests.sparse.programs import convolution_programs, layer


@settings(max_examples=60)
@given(convolution_programs(), st.data())
def test_a_tile_leaves_out_what_reads_zeros_only(program, data):
    step = program.steps[-1]
    in_shape, out_shape = program.shapes[step.input], program.shapes[step.value]
    first = data.draw(st.integers(0, out_shape[1] - 1))
    last = data.draw(st.integers(first, out_shape[1] - 1))

    rows = tap_rows(step, in_shape, first, last)

    assert 0 <= rows.begin <= rows.whole <= rows.rest <= rows.end <= step.weight.shape[2]
    for tap in range(step.weight.shape[2]):
        read = np.arange(first, last + 1) * step.stride[0]
        read += tap * step.dilation[0] - step.padding[0][0]
        inside = (read >= 0) & (read < in_shape[1])
        if not rows.begin <= tap < rows.end:
            assert not inside.any()
        elif tap < rows.whole:
            assert not inside[0]
        elif tap >= rows.rest:
            assert not inside[-1]
        else:
            # All that can be left out is.
            assert inside[[0, -1]].all()


@pytest.mark.parametrize(("kernel", "multiplied"), [(1, 4), (3, 10)])
def test_what_meets_no_data_is_not_multiplied(kernel, multiplied):
    weight = np.ones((8, 4, kernel, kernel), np.float32)
    program = layer(weight, side=4, padding=kernel // 2)
    choice = choose_kernel(program.steps[0], plan_memory(program, LANES), CHANNEL_BLOCKS[:1])

    # The rows of taps of the four rows of a map.
    left = [tile for tile in zip(choice.tiles, choice.tap_rows, strict=True) if not tile[0].column]
    heights = [REGISTER_BLOCKS[tile.block].rows for tile, _ in left]
    assert sum(heights) == 4
    assert multiplied == sum(
        height * (rows.end - rows.begin) - (rows.whole - rows.begin) - (rows.end - rows.rest)
        for height, (_, rows) in zip(heights, left, strict=True)
    )
    assert choice.entries.sum((0, 1)).tolist() == [8 * 4 * kernel] * kernel


def test_rows_are_told_apart_for_images_in_lanes_and_lists_of_one_channel_only():
    program = layer(np.ones((8, 4, 3, 3), np.float32), side=4, padding=1)
    (step,) = program.steps

    for images, block in [(1, CHANNEL_BLOCKS[0]), *((LANES, b) for b in CHANNEL_BLOCKS[1:])]:
        choice = choose_kernel(step, plan_memory(program, images), [block])
        assert choice.entries.shape[2] == 1
        assert set(choice.tap_rows) == {ALL_ROWS}


def test_a_chunk_holds_all_channels_that_are_hardly_read_again():
    weight = np.zeros((16, 512, 3, 3), np.float32)
    weight[:4] = 1
    dense = np.ones_like(weight)
    out_shape = (16, 8, 8)

    assert channels_per_chunk(layer(weight, 8, padding=1).steps[0], out_shape) == 512
    chunk = channels_per_chunk(layer(dense, 8, padding=1).steps[0], out_shape)
    assert 4 <= chunk <= 64
