import pytest
import torch
from torch import nn
from torchvision.models import resnet18

from lightprune.errors import InputError
from lightprune.models.live_tap_conv import LiveTapConv2d
from lightprune.models.model import Model
from lightprune.pruning.targets import Targets
from tests.pruning.probe import live_masks_of
from tests.training.small import cnn, equal


def four_dimensional(network):
    return [p for p in network.parameters() if p.dim() == 4]


@pytest.mark.parametrize("channels_last", [True, False])
def test_weights_and_images_lie_in_the_layout_that_was_asked_for(channels_last):
    model = Model(cnn, channels_last=channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    images = torch.rand(2, 8, 8, 3).permute(0, 3, 1, 2)

    network = model.build(4)

    assert all(w.is_contiguous(memory_format=layout) for w in four_dimensional(network))
    assert model.to_memory_format(images).is_contiguous(memory_format=layout)
    assert torch.equal(model.to_memory_format(images), images)


@pytest.mark.parametrize("live", [True, False])
def test_live_taps_are_used_if_asked_for(live):
    kinds = {type(m) for m in Model(cnn, live_taps=live).build(4).modules()}

    assert (LiveTapConv2d in kinds) == live
    assert (nn.Conv2d in kinds) != live


def test_every_way_to_run_a_network_gives_the_same_logits():
    images = torch.randn(4, 3, 8, 8)
    ways = [Model(cnn, channels_last=c, live_taps=t) for c in (True, False) for t in (True, False)]
    logits = []
    for model in ways:
        torch.manual_seed(0)
        logits.append(model.build(4).eval()(model.to_memory_format(images)))

    for found in logits[1:]:
        torch.testing.assert_close(found, logits[0], atol=1e-6, rtol=1e-5)


def test_the_network_has_the_asked_number_of_classes():
    assert Model(cnn).build(7)(torch.randn(2, 3, 8, 8)).shape == (2, 7)


def test_a_constructor_without_num_classes_is_refused_by_its_name():
    with pytest.raises(InputError, match=r"model.constructor=.*no_classes.*num_classes"):
        Model(no_classes).build(10)


def no_classes():
    return cnn()


def test_the_state_dict_is_the_constructors_own():
    torch.manual_seed(0)
    plain = resnet18(num_classes=10)
    torch.manual_seed(0)
    built = Model(resnet18).build(10)

    assert equal(plain.state_dict(), built.state_dict())


def test_the_imagenet_stem_leaves_62_percent_of_the_weights_dead_at_32x32():
    network = resnet18(num_classes=10)
    weights = {name: w.detach() for name, w in Targets().find(network).items()}

    live = live_masks_of(network, weights, torch.randn(1, 3, 32, 32))

    assert (live.total, live.pruned) == (11_166_912, 6_946_816)


def test_a_network_of_lazy_layers_is_refused():
    with pytest.raises(InputError, match=r"model\.constructor=lazy: has lazy layers"):
        Model(lazy).build(10)


def lazy(num_classes):
    return nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(num_classes))
