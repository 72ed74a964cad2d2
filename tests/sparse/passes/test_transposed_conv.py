import pytest
import torch
from torch import nn

from lightprune.sparse.ir.program import ConvStep, GatherStep
from tests.sparse.lowering import kinds, lowered


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    "windows",
    [(2, 2, 0), (4, 2, 1), (3, 2, 1, 1), ((1, 3), (3, 1), (0, 1)), (2, 3, 0, 2), (5, 1, 4)],
)
def test_each_weight_is_multiplied_about_as_often_as_in_the_transposed_convolution(windows, groups):
    layer = nn.ConvTranspose2d(4, 6, *windows, groups=groups)

    program = lowered(layer, (4, 6, 7))

    assert kinds(program) == [ConvStep, GatherStep]
    conv, _ = program.steps
    assert torch.tensor(conv.weight).count_nonzero() == layer.weight.numel()
    _, rows, columns = program.shapes[conv.value]
    assert rows * columns <= 8 * 9


def test_norm_and_activation_join_the_convolution():
    network = nn.Sequential(nn.ConvTranspose2d(2, 3, 2, 2), nn.BatchNorm2d(3), nn.ReLU())

    program = lowered(network, (2, 4, 5))

    assert kinds(program) == [ConvStep, GatherStep]
    assert program.steps[0].relu


def test_what_follows_an_upsampling_is_done_before_it_unless_another_reads_the_result():
    class Twice(nn.Module):
        def __init__(self, again):
            super().__init__()
            self.conv, self.again = nn.Conv2d(2, 3, 3), again

        def forward(self, maps):
            larger = nn.functional.interpolate(self.conv(maps), scale_factor=2)
            return larger.relu() + larger if self.again else larger.relu()

    assert kinds(lowered(Twice(again=False), (2, 4, 5))) == [ConvStep, GatherStep]
    assert kinds(lowered(Twice(again=True), (2, 4, 5)))[:2] == [ConvStep, GatherStep]
