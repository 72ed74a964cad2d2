"""Cropped kernels compute the same function with fewer weights."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.models import resnet18

from lightprune.export.strip_unreachable import strip_unreachable
from tests.export.finished import with_statistics
from tests.pruning.probe import live_masks_of


@st.composite
def convolutions(draw):
    """A convolution and the size of its input."""
    kernel, stride, dilation, padding, size = (
        tuple(draw(st.integers(*bounds)) for _ in range(2))
        for bounds in ((1, 5), (1, 3), (1, 2), (0, 3), (1, 6))
    )
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
    size = [max(n, r - 2 * p) for n, r, p in zip(size, reach, padding, strict=True)]
    groups = draw(st.sampled_from([1, 2]))
    settings = {"stride": stride, "dilation": dilation, "padding": padding, "groups": groups}
    return nn.Conv2d(2, 4, kernel, **settings), size


@given(drawn=convolutions())
def test_a_cropped_convolution_gives_the_same(drawn):
    conv, size = drawn
    conv.double()
    images = torch.randn(2, 2, *size, dtype=torch.float64)

    smaller = strip_unreachable(conv, images)

    torch.testing.assert_close(smaller(images), conv(images), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("padding", "size"), [("same", 1), (1, 1), (2, 2)])
def test_no_unreachable_tap_remains_where_padding_is_symmetrical(padding, size):
    conv = nn.Conv2d(2, 4, 3 if padding != 2 else 5, padding=padding)
    images = torch.zeros(1, 2, size, size)

    smaller = strip_unreachable(conv, images)

    assert smaller.weight.shape[2:] == (2 * size - 1, 2 * size - 1)
    assert live_masks_of(smaller, {"weight": smaller.weight}, images).pruned == 0


@pytest.mark.parametrize(("kernel", "size"), [((3, 4), (1, 8)), ((9, 4), (4, 4)), ((4, 3), (8, 1))])
def test_an_even_kernel_under_same_padding_keeps_its_function(kernel, size):
    conv = nn.Conv2d(2, 4, kernel, padding="same").double()
    images = torch.randn(2, 2, *size, dtype=torch.float64)

    smaller = strip_unreachable(conv, images)

    torch.testing.assert_close(smaller(images), conv(images), rtol=0, atol=1e-12)


def test_a_layer_called_at_two_sizes_keeps_what_either_reaches():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(2, 2, 3, padding=1)

        def forward(self, x):
            return self.conv(x).mean((2, 3)) + self.conv(x[:, :, :1, :1]).flatten(1)

    network, images = Twice(), torch.randn(2, 2, 4, 4)
    smaller = strip_unreachable(network, images)

    assert smaller.conv.kernel_size == (3, 3)
    assert torch.equal(smaller(images), network(images))


def test_resnet18_on_32x32_loses_its_unreachable_weights_and_stays_itself():
    network = with_statistics(resnet18(num_classes=10))
    images = torch.randn(2, 3, 32, 32)

    smaller = strip_unreachable(network, images)

    lost = [sum(p.numel() for p in n.parameters()) for n in (network, smaller)]
    assert lost[0] - lost[1] == 6_946_816
    torch.testing.assert_close(smaller(images), network(images), rtol=1e-4, atol=1e-4)
