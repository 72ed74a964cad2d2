import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightprune.sparse.codegen.gather_indices import used_planes
from lightprune.sparse.codegen.input_packing import PackedInput, plan_packed_inputs, tap_coordinates
from lightprune.sparse.ir.program import ConvStep
from lightprune.sparse.isa.register_blocks import LANES
from tests.sparse.programs import convolution_programs, sizes

SHIFTS = st.sets(st.integers(-4, 6), min_size=1, max_size=4).map(
    lambda shifts: tuple(sorted(shifts))
)


@given(SHIFTS, SHIFTS, sizes(3), sizes(6), sizes(5))
def test_a_packed_pixel_is_the_shifted_one_or_zero(rows, columns, stride, read, size):
    packed = PackedInput("packed", "value", stride, rows, columns)
    room = size[0] * size[1] + 3

    indices = packed.gather_indices((1, *read), *size, room)

    assert indices.shape == (packed.planes, room)
    for plane, numbers in enumerate(indices):
        row, column = rows[plane // len(columns)], columns[plane % len(columns)]
        for place, number in enumerate(numbers):
            y = place // size[1] * stride[0] + row
            x = place % size[1] * stride[1] + column
            inside = place < room - 3 and 0 <= y < read[0] and 0 <= x < read[1]
            assert number == (y * read[1] + x if inside else -1)


@given(SHIFTS, SHIFTS, sizes(3), st.integers(0, 3), st.integers(0, 3), st.data())
def test_a_tap_reads_its_own_row_and_column(rows, columns, stride, down, across, data):
    row = data.draw(st.sampled_from(rows)) + down * stride[0]
    column = data.draw(st.sampled_from(columns)) + across * stride[1]
    packed = PackedInput("packed", "value", stride, rows, columns)

    plane, y, x = packed.locate(row, column)

    assert min(y, x) >= 0
    assert rows[plane // len(columns)] + y * stride[0] == row
    assert columns[plane % len(columns)] + x * stride[1] == column


@given(convolution_programs(), st.sampled_from([1, LANES]))
def test_every_tap_of_every_convolution_finds_a_plane(program, images_per_vector):
    steps = list(program.steps)

    for value, packed in plan_packed_inputs(steps, program.shapes, images_per_vector).items():
        step = next(step for step in steps if step.value == value)
        for row, column in tap_coordinates(step):
            plane, _, across = packed.locate(row, column)
            assert 0 <= plane < packed.planes
            assert images_per_vector > 1 or across == 0


def conv(value, stride, kernel, padding):
    weight = np.ones((1, 1, kernel, kernel), np.float32)
    bias = np.zeros(1, np.float32)
    return ConvStep(value, ("input",), weight, bias, (stride,) * 2, (padding, padding))


SHAPES = {"input": (1, 8, 8), "three": (1, 4, 4), "one": (1, 4, 4), "same": (1, 8, 8)}


@pytest.mark.parametrize("images_per_vector", [1, LANES])
def test_convolutions_of_one_value_with_one_stride_share_a_copy(images_per_vector):
    steps = [conv("three", 2, 3, (1, 0)), conv("one", 2, 1, (0, -1))]

    packed_inputs = plan_packed_inputs(steps, SHAPES, images_per_vector)

    assert packed_inputs["three"] is packed_inputs["one"]


def test_many_images_at_stride_1_are_read_as_they_are():
    assert plan_packed_inputs([conv("same", 1, 3, (1, 1))], SHAPES, LANES) == {}
    assert set(plan_packed_inputs([conv("same", 1, 3, (1, 1))], SHAPES, 1)) == {"same"}


def test_planes_are_read_where_any_convolution_has_a_weight():
    steps = [conv("same", 1, 3, (1, 1)), conv("other", 1, 3, (1, 1))]
    for step, tap in zip(steps, ((0, 0), (2, 1)), strict=True):
        step.weight[:] = 0
        step.weight[0, 0][tap] = 1
    packed = plan_packed_inputs(steps, {**SHAPES, "other": (1, 8, 8)}, 1)["same"]

    read = used_planes(packed, steps)

    # One plane for every column shift: the left one and the middle one.
    assert read.tolist() == [[True, True, False]]
