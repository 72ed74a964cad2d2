import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F
from torchvision.models import mobilenet_v2, resnet18, vgg11_bn

from lightprune.pruning.masks import Masks
from lightprune.pruning.reachability import live_positions
from lightprune.pruning.targets import Targets
from tests.pruning.probe import live_masks_of

UNREACHABLE_OF_RESNET18 = {
    "layer4.0.conv1.weight": 655_360,
    "layer4.0.conv2.weight": 2_097_152,
    "layer4.1.conv1.weight": 2_097_152,
    "layer4.1.conv2.weight": 2_097_152,
}
IMAGE = torch.zeros(1, 3, 32, 32)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return resnet18(num_classes=10).eval()


@pytest.fixture(scope="module")
def live(network):
    return live_masks_of(network, Targets().find(network), IMAGE)


def conv_weights(network):
    return {n: p for n, p in network.named_parameters() if n.endswith("weight") and p.dim() > 2}


def touched(layer, shape):
    """The weights whose gradient is not 0: inputs and output weights are positive, so none cancels.

    Float64, whose convolutions take no shortcut through transformed domains.
    """
    layer = layer.double()
    out = layer(torch.rand(shape, dtype=torch.float64) + 1)
    (gradient,) = torch.autograd.grad((out * (torch.rand_like(out) + 1)).sum(), layer.weight)
    return gradient != 0


def found(layer, shape):
    return live_masks_of(layer, {"weight": layer.weight}, torch.zeros(shape).to(layer.weight))[
        "weight"
    ]


@st.composite
def convolutions(draw, kind=nn.Conv2d, spatial=2):
    """A convolution with zero padding and an input size that it accepts."""

    def each(low, high):
        return tuple(draw(st.integers(low, high)) for _ in range(spatial))

    kernel, dilation, size = each(1, 4), each(1, 3), each(1, 6)
    padding = draw(st.one_of(st.just(each(0, 4)), st.sampled_from(["same", "valid"])))
    stride = (1,) * spatial if padding == "same" else each(1, 4)
    if padding != "same":
        pads = (0,) * spatial if padding == "valid" else padding
        spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
        assume(all(n + 2 * p >= span for n, p, span in zip(size, pads, spans, strict=True)))
    groups = draw(st.sampled_from([1, 2]))
    return kind(2, 4, kernel, stride, padding, dilation, groups), (2, 2, *size)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@given(convolutions())
def test_unreachable_weights_are_those_that_never_get_a_gradient(case):
    layer, shape = case

    assert torch.equal(found(layer, shape), touched(layer, shape))


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@given(st.one_of(convolutions(nn.Conv1d, 1), convolutions(nn.Conv3d, 3)))
def test_the_same_holds_in_one_and_in_three_dimensions(case):
    layer, shape = case

    assert torch.equal(found(layer, shape), touched(layer, shape))


@given(st.data(), st.sampled_from(["circular", "reflect", "replicate"]))
def test_padding_that_repeats_data_leaves_every_weight_live(data, mode):
    kernel, stride, dilation = (data.draw(st.integers(1, 3)) for _ in range(3))
    span = dilation * (kernel - 1) + 1
    size = data.draw(st.integers((span + 3) // 2, 7))
    padding = data.draw(st.integers((max(span - size, 0) + 1) // 2, size - 1))
    layer = nn.Conv2d(2, 4, kernel, stride, padding, dilation, padding_mode=mode)
    shape = (2, 2, size, size + 1)

    assert found(layer, shape).all()
    assert touched(layer, shape).all()


def test_transposed_convolutions_and_linear_layers_are_live():
    assert found(nn.ConvTranspose2d(2, 3, 3, padding=1), (1, 2, 1, 1)).all()
    assert found(nn.Linear(4, 3), (1, 4)).all()


@pytest.mark.parametrize(
    ("size", "stride", "live"),
    [(1, 1, [1]), (2, 2, [1, 2]), (2, 1, [0, 1, 2]), (32, 2, [0, 1, 2])],
)
def test_a_padded_kernel_of_three_meets_data_at_known_positions(size, stride, live):
    out = (size - 1) // stride + 1

    assert live_positions(size, kernel=3, stride=stride, pad=1, dilation=1, out=out) == live


def test_resnet18_at_32_by_32_has_its_known_unreachable_weights_layer_by_layer(live):
    unreachable = {name: int((~mask).sum()) for name, mask in live.items()}

    assert {name: count for name, count in unreachable.items() if count} == UNREACHABLE_OF_RESNET18
    assert live.pruned == 6_946_816
    assert live.kept == 4_220_096


def test_resnet18_at_224_by_224_has_no_unreachable_weight(network):
    masks = live_masks_of(network, Targets().find(network), torch.zeros(1, 3, 224, 224))

    assert masks.pruned == 0


def test_unreachable_weights_of_resnet18_never_get_a_gradient(network, live):
    weights = Targets().find(network)
    torch.manual_seed(1)
    network.zero_grad()
    F.cross_entropy(network(torch.randn(8, 3, 32, 32)), torch.arange(8)).backward()

    assert not any(weights[name].grad[~mask].any() for name, mask in live.items())
    network.zero_grad()


def check_logits_without_unreachable_weights(network, image_size):
    weights = conv_weights(network)
    torch.manual_seed(2)
    images = torch.randn(4, 3, image_size, image_size)
    masks = live_masks_of(network, weights, images[:1])
    network.eval()
    with torch.no_grad():
        before = network(images)
        masks.apply_(weights)
        after = network(images)

    assert torch.equal(before, after)
    return masks


def test_zeroing_the_unreachable_weights_leaves_the_logits_of_resnet18_bit_identical():
    torch.manual_seed(0)
    masks = check_logits_without_unreachable_weights(resnet18(num_classes=10), 32)

    assert masks.pruned == 6_946_816


def test_zeroing_the_unreachable_weights_leaves_the_logits_of_mobilenet_v2_bit_identical():
    torch.manual_seed(0)
    masks = check_logits_without_unreachable_weights(mobilenet_v2(num_classes=10), 32)

    depthwise_on_one_pixel = [name for name in masks if not masks[name].all()]
    assert all(masks[name].shape[1:] == (1, 3, 3) for name in depthwise_on_one_pixel)
    assert [int(masks[name].sum()) for name in depthwise_on_one_pixel] == [576 * 4, 960, 960, 960]


def test_vgg11_whose_last_convolutions_see_two_by_two_pixels_has_no_unreachable_weight():
    with torch.device("meta"):
        network = vgg11_bn(num_classes=10, init_weights=False)
    network.classifier = nn.Linear(25_088, 10)
    network.features.to_empty(device="cpu")

    masks = live_masks_of(network, conv_weights(network), IMAGE)

    assert len(masks) == 8
    assert masks.pruned == 0


def test_vgg11_without_its_last_pooling_has_unreachable_weights_at_16_by_16():
    with torch.device("meta"):
        features = vgg11_bn(init_weights=False).features[:-1]
    features.to_empty(device="cpu")

    masks = live_masks_of(features, conv_weights(features), torch.zeros(1, 3, 16, 16))

    unreachable = {name: int((~mask).sum()) for name, mask in masks.items() if not mask.all()}
    assert unreachable == dict.fromkeys(("22.weight", "25.weight"), 512 * 512 * 8)


class RowAndColumn(nn.Module):
    """Sees the first row and the first column of an image, with one layer or with two."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x):
        return self.first(x[..., :1, :]).sum() + self.second(x[..., :1]).sum()


def padded():
    return nn.Conv2d(1, 1, 3, padding=1)


def cross_of(network):
    weights = {"first.weight": network.first.weight}
    return live_masks_of(network, weights, torch.zeros(1, 1, 3, 3))["first.weight"][0, 0].tolist()


CROSS = [[False, True, False], [True, True, True], [False, True, False]]


def test_a_layer_called_at_two_sizes_is_live_where_either_call_reaches_it():
    layer = padded()

    assert cross_of(RowAndColumn(layer, layer)) == CROSS


def test_a_weight_shared_by_two_layers_is_live_where_either_reaches_it():
    network = RowAndColumn(padded(), padded())
    network.second.weight = network.first.weight

    assert cross_of(network) == CROSS


def test_a_layer_that_is_never_called_is_not_live():
    network = nn.Sequential(nn.Conv2d(1, 1, 1))
    network[0].unused = nn.Conv2d(1, 1, 3, padding=1)

    masks = live_masks_of(network, conv_weights(network), torch.zeros(1, 1, 1, 1))

    assert not masks["0.unused.weight"].any()


def test_only_the_passed_weights_are_counted(network):
    asked = {"layer4.1.conv2.weight": network.layer4[1].conv2.weight}

    assert list(live_masks_of(network, asked, IMAGE)) == list(asked)


def test_copies_of_the_weights_are_answered_as_the_weights_themselves(network, live):
    copies = {name: p.detach().clone() for name, p in Targets().find(network).items()}

    assert live_masks_of(network, copies, IMAGE).digest() == live.digest()


class Noisy(nn.Module):
    """Layers whose mode matters, in mixed modes."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.frozen = nn.BatchNorm2d(4).eval()

    def forward(self, x):
        return self.frozen(self.drop(self.norm(self.conv(x))))


def check_untouched(network, look):
    modes = [module.training for module in network.modules()]
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    random_state = torch.get_rng_state()

    look()

    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, state[n]) for n, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random_state)
    assert not any(module._forward_hooks for module in network.modules())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_looking_leaves_modes_buffers_hooks_and_random_state_as_they_are():
    network = Noisy().train()
    network.frozen.eval()

    check_untouched(network, lambda: live_masks_of(network, conv_weights(network), IMAGE))


def test_a_forward_that_fails_leaves_the_network_as_it_was():
    network = Noisy().train()
    network.frozen.eval()

    def look():
        with pytest.raises(RuntimeError):
            live_masks_of(network, conv_weights(network), torch.zeros(1, 5, 8, 8))

    check_untouched(network, look)


def test_a_network_that_always_draws_random_numbers_leaves_the_random_state_as_it_is():
    class Drawing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 1, 1)

        def forward(self, x):
            return F.dropout(self.conv(x), 0.5, training=True)

    network = Drawing()

    check_untouched(network, lambda: live_masks_of(network, conv_weights(network), IMAGE))


def test_live_masks_are_masks_of_the_weights_shapes():
    network = Noisy()
    masks = live_masks_of(network, conv_weights(network), IMAGE)

    assert isinstance(masks, Masks)
    assert masks["conv.weight"].shape == (4, 3, 3, 3)
    assert masks["conv.weight"].dtype == torch.bool
