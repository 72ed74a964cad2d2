import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from lightprune.sparse.ir.graph import INPUT
from lightprune.sparse.ir.program import ConvStep, GatherStep, PoolStep, Program, grid_indices
from lightprune.sparse.passes.fold_gathers import fold_gathers
from tests.sparse import reference
from tests.sparse.lowering import kinds, lowered
from tests.sparse.programs import convolutions, images_for, sizes


@st.composite
def numbers(draw, extent):
    """Rows of a map, or -1 for zeros: a stretch of it between zeros, or any."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.lists(st.integers(-1, extent - 1), min_size=1, max_size=9))
    first, step = draw(st.integers(0, extent - 1)), draw(st.sampled_from([1, 1, 2]))
    rows = range(first, draw(st.integers(first + 1, extent)), step)
    zeros = st.sampled_from([0, 0, 1, 2])
    return [-1] * draw(zeros) + [*rows] + [-1] * draw(zeros)


@settings(max_examples=80)
@given(st.data())
def test_a_convolution_of_gathered_pixels_computes_what_it_did(data):
    shape = (2, *data.draw(sizes(7)))
    rows, columns = (np.array(data.draw(numbers(n))) for n in shape[1:])
    shapes = {INPUT: shape, "gathered": (2, len(rows), len(columns))}
    step, shapes["out"] = data.draw(convolutions("out", "gathered", shapes, channels=3))
    gather = GatherStep("gathered", (INPUT,), grid_indices(rows, columns, shape[2]))
    program = Program((gather, step), shapes, "out", flat=False)

    folded = fold_gathers(program)

    images = images_for(program, 2)
    assert torch.equal(reference.run(program, images), reference.run(folded, images))


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(2, 4, 3, 2)],
        lambda: [nn.ZeroPad2d(1), nn.ZeroPad2d((1, 0, -1, 0)), nn.Conv2d(2, 4, 3, padding=1)],
        lambda: [nn.ZeroPad2d(-1), nn.Conv2d(2, 4, 3)],
    ],
    ids=["same padding", "padding and a crop", "crop"],
)
def test_padding_and_crops_are_left_to_the_convolution(layers):
    assert kinds(lowered(nn.Sequential(*layers()), (2, 7, 6))) == [ConvStep]


def test_every_other_pixel_is_read_by_a_pointwise_convolution_with_a_stride():
    class Halved(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 4, 1)

        def forward(self, maps):
            return self.conv(maps[:, :, 1::2, ::3])

    (step,) = lowered(Halved(), (2, 7, 6)).steps

    assert step.stride == (2, 3)


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [nn.ZeroPad2d(-1), nn.Conv2d(2, 4, 3, padding=1)],
        lambda: [nn.ReplicationPad2d(1), nn.Conv2d(2, 4, 3)],
    ],
    ids=["zeros beside a crop", "pixels at the edge"],
)
def test_what_is_no_padding_by_zeros_is_gathered(layers):
    assert kinds(lowered(nn.Sequential(*layers()), (2, 7, 6))) == [GatherStep, ConvStep]


def test_channels_selected_from_a_crop_are_read_from_the_crop():
    layers = nn.ZeroPad2d((-1, 0, 0, -2)), nn.ChannelShuffle(2), nn.Conv2d(4, 3, 3)

    lowered(nn.Sequential(*layers), (4, 7, 6))


def test_zeros_that_no_window_reads_are_no_rows():
    rows = np.array([0, 2, 4, -1])
    shapes = {INPUT: (2, 5, 5), "gathered": (2, 4, 4), "out": (3, 3, 3)}
    gather = GatherStep("gathered", (INPUT,), grid_indices(rows, rows, 5))
    weight, bias = np.ones((3, 2, 1, 1), np.float32), np.zeros(3, np.float32)
    step = ConvStep("out", ("gathered",), weight, bias, padding=((0, -1), (0, -1)))
    program = Program((gather, step), shapes, "out", flat=False)

    folded = fold_gathers(program)

    assert folded.steps[1].stride == (2, 2)
    images = images_for(program, 2)
    assert torch.equal(reference.run(program, images), reference.run(folded, images))


def test_padding_before_a_maximum_stays_zeros():
    network = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ZeroPad2d(1), nn.MaxPool2d(2))

    assert kinds(lowered(network, (2, 6, 6))) == [ConvStep, GatherStep, PoolStep]
