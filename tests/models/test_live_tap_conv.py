import copy
import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torchvision.models import resnet18

from lightprune.models.live_tap_conv import LiveTapConv2d, use_live_taps
from tests.training.small import equal


@st.composite
def cases(draw, smallest=1, largest=5):
    """Settings of a convolution that has a LiveTapConv2d, and the size of a map that it takes."""
    size = draw(st.tuples(*[st.integers(smallest, largest)] * 2))
    kernel = draw(st.tuples(*[st.integers(1, 5)] * 2))
    padding = draw(st.tuples(*[st.integers(0, 4)] * 2))
    stride = draw(st.tuples(*[st.integers(1, 3)] * 2))
    assume((kernel, stride) != ((1, 1), (1, 1)))
    assume(all(s + 2 * p >= k for s, p, k in zip(size, padding, kernel, strict=True)))
    settings = {
        "in_channels": draw(st.integers(1, 3)),
        "out_channels": draw(st.integers(1, 3)),
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "bias": draw(st.booleans()),
    }
    return settings, size


def pair(settings, dtype=torch.float32):
    """A plain convolution and the same one with live taps."""
    plain = nn.Conv2d(**settings, dtype=dtype)
    return plain, use_live_taps(nn.Sequential(copy.deepcopy(plain)))[0]


def everything(conv, x):
    """The output, and the gradients of weight, bias and input for a random loss."""
    x = x.clone().requires_grad_()
    out = conv(x)
    torch.manual_seed(1)
    out.backward(torch.randn(out.shape, dtype=out.dtype))
    return [out.detach(), x.grad, *(p.grad for p in conv.parameters())]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
@given(case=cases(largest=7), channels_last=st.booleans())
def test_values_and_gradients_equal_the_plain_convolutions(dtype, tolerance, case, channels_last):
    settings, size = case
    plain, live = pair(settings, dtype)
    x = torch.randn(3, settings["in_channels"], *size, dtype=dtype)
    if channels_last:
        live = live.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)

    for expected, found in zip(everything(plain, x), everything(live, x), strict=True):
        torch.testing.assert_close(found, expected, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 2), (2, 1), (2, 2), (1, 8), (2, 3), (7, 1), (4, 4), (3, 5)]
)
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_a_padded_3x3_convolution_is_exact_on_every_small_map(size, stride):
    settings = {"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 1}
    plain, live = pair({**settings, "stride": stride}, torch.float64)
    x = torch.randn(2, 2, *size, dtype=torch.float64)

    for expected, found in zip(everything(plain, x), everything(live, x), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-10, rtol=1e-10)


@given(case=cases())
def test_the_gradient_of_an_unreachable_tap_is_exactly_zero(case):
    settings, size = case
    _, live = pair({**settings, "in_channels": 1, "out_channels": 1, "bias": False})
    ones = torch.ones(1, 1, *size)
    taps = torch.eye(live.weight.numel()).view(-1, 1, *settings["kernel_size"])
    geometry = {"stride": settings["stride"], "padding": settings["padding"]}
    seen = nn.functional.conv2d(ones, taps, **geometry).sum((0, 2, 3))

    live(torch.rand(2, 1, *size) + 1).sum().backward()

    assert torch.equal(live.weight.grad.flatten() != 0, seen != 0)


@pytest.mark.parametrize("kernel", [{"kernel_size": 1}, {"kernel_size": 3, "padding": 1}])
def test_a_layer_that_halves_a_map_makes_no_call_of_a_convolution(kernel, monkeypatch):
    plain, live = pair({"in_channels": 2, "out_channels": 3, "stride": 2, **kernel})
    x = torch.randn(2, 2, 4, 4)
    expected = everything(plain, x)
    monkeypatch.delattr(nn.Conv2d, "_conv_forward")

    torch.testing.assert_close(everything(live, x), expected)


@given(case=cases(smallest=5, largest=9))
def test_larger_maps_take_the_plain_path_bit_for_bit(case):
    settings, size = case
    plain, live = pair(settings)
    x = torch.randn(2, settings["in_channels"], *size)
    out = plain(x)
    assume(out[0, 0].numel() >= math.prod(settings["kernel_size"]) > 1)

    assert all(map(torch.equal, everything(plain, x), everything(live, x)))


def test_a_large_kernel_on_a_map_just_below_it_makes_no_larger_matrix(monkeypatch):
    plain, live = pair({"in_channels": 2, "out_channels": 3, "kernel_size": 7, "padding": 3})
    x = torch.randn(2, 2, 6, 6)
    monkeypatch.delattr("lightprune.models.live_tap_conv._Matrix")

    torch.testing.assert_close(live(x), plain(x))


@pytest.mark.parametrize("size", [(2, 2), (4, 4)])
def test_an_output_has_the_memory_format_of_its_input(size):
    _, live = pair({"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 1})
    live.stride = (1, 1) if size == (2, 2) else (2, 2)
    x = torch.randn(2, 2, *size)

    assert live(x).is_contiguous()
    channels_last = live(x.contiguous(memory_format=torch.channels_last))
    assert channels_last.is_contiguous(memory_format=torch.channels_last)


def test_a_layer_on_the_meta_device_tells_the_shape_of_its_output():
    plain, live = pair({"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 1})
    x = torch.randn(2, 2, 2, 2, device="meta")

    assert live.to("meta")(x).shape == plain.to("meta")(x).shape


def test_an_image_without_a_batch_dimension_is_taken_as_by_the_plain_convolution():
    plain, live = pair({"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 1})
    x = torch.randn(2, 1, 1)

    assert torch.equal(live(x), plain(x))


def test_an_empty_batch_gives_an_empty_output_of_the_same_shape():
    plain, live = pair({"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 1})
    x = torch.zeros(0, 2, 2, 1)

    assert live(x).shape == plain(x).shape


def test_a_map_too_small_for_the_kernel_is_refused_as_by_the_plain_convolution():
    plain, live = pair({"in_channels": 2, "out_channels": 3, "kernel_size": 3})
    x = torch.zeros(1, 2, 1, 1)

    for conv in (plain, live):
        with pytest.raises(RuntimeError, match="ernel size"):
            conv(x)


@pytest.fixture
def resnets():
    plain = resnet18(num_classes=10).double()
    return plain, use_live_taps(copy.deepcopy(plain))


def test_resnet18_keeps_its_logits_and_gradients(resnets):
    x = torch.randn(3, 3, 32, 32, dtype=torch.float64)
    logits = []
    for network in resnets:
        logits.append(network(x))
        logits[-1].square().sum().backward()

    torch.testing.assert_close(logits[1], logits[0], atol=1e-9, rtol=1e-9)
    for plain, live in zip(*(network.parameters() for network in resnets), strict=True):
        torch.testing.assert_close(live.grad, plain.grad, atol=1e-7, rtol=1e-7)


def test_resnet18_keeps_its_parameters_and_their_names(resnets):
    plain, live = resnets

    assert equal(plain.state_dict(), live.state_dict())
    live.load_state_dict(plain.state_dict())


def test_a_live_tap_convolution_is_a_convolution(resnets):
    convolutions = [m for m in resnets[1].modules() if isinstance(m, nn.Conv2d)]

    assert len(convolutions) == 20
    assert sum(isinstance(m, LiveTapConv2d) for m in convolutions) == 20


def test_a_copy_computes_the_same_with_weights_of_its_own():
    _, live = pair({"in_channels": 2, "out_channels": 3, "kernel_size": 3, "padding": 1})
    x = torch.randn(2, 2, 1, 1)
    copied = copy.deepcopy(live)

    assert torch.equal(copied(x), live(x))
    with torch.no_grad():
        live.weight.zero_()
    assert copied.weight.any()


class Own(nn.Conv2d):
    pass


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding="valid"),
        nn.Conv2d(4, 4, 1),
        nn.Conv2d(4, 4, 1, stride=2, groups=2),
        nn.Conv1d(4, 4, 3, padding=1),
        nn.ConvTranspose2d(4, 4, 3, padding=1),
        Own(4, 4, 3, padding=1),
    ],
    ids=repr,
)
def test_a_layer_of_another_kind_is_left_alone(conv):
    kind = type(conv)

    use_live_taps(nn.Sequential(conv))

    assert type(conv) is kind


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 3), (4, 4)])
@pytest.mark.parametrize("stride", [1, 2])
def test_autocast_to_bf16_gives_the_plain_convolutions_output(size, stride):
    settings = {"in_channels": 4, "out_channels": 3, "kernel_size": 3, "padding": 1}
    plain, live = pair({**settings, "stride": stride})
    x = torch.randn(2, 4, *size)
    with torch.autocast("cpu", torch.bfloat16):
        expected, found = plain(x), live(x)
    found.float().sum().backward()

    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)
    assert live.weight.grad.dtype == torch.float32
