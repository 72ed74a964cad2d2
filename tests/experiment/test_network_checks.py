"""One training step before training: what fails is named, and nothing else changes."""

import random
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from lightprune.errors import InputError
from lightprune.experiment.network_checks import (
    check_outputs,
    check_training,
    network_macs,
)
from lightprune.models.model import Model
from tests.training.small import MOMENTUM, cnn, phase, small_setup

ADAM = partial(torch.optim.Adam, lr=0.01)


def check(network=cnn, batch=32, macs=1000, optimizer=MOMENTUM, **settings):
    setup = small_setup(network=network, **settings)
    check_outputs(setup.new_network(), setup)
    how = replace(phase(), batch_size=batch, optimizer=optimizer)
    return check_training(setup, {"dense": how, "finetune": how}, macs)


def with_batch_norm(num_classes=4):
    pooled = (nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8), nn.Flatten())
    return nn.Sequential(nn.Conv2d(3, 8, 3), *pooled, nn.Linear(8, num_classes))


class Auxiliary(nn.Module):
    """Gives more than its logits while it trains."""

    aux_logits = True

    def __init__(self, num_classes=4, further=lambda logits: (logits, logits)):
        super().__init__()
        self.network = cnn(num_classes)
        self.further = further

    def forward(self, x):
        logits = self.network(x)
        return self.further(logits) if self.training else logits


class Views(nn.Module):
    """Takes maps for contiguous ones, which they are not in channels_last."""

    def __init__(self, num_classes=4):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8 * 64, num_classes)

    def forward(self, x):
        return self.head(self.conv(x).view(len(x), -1))


class ViewsInTraining(Views):
    def forward(self, x):
        maps = self.conv(x)
        return self.head(maps.view(len(x), -1) if self.training else maps.flatten(1))


class InPlace(nn.Module):
    """Changes what its gradient requires."""

    def __init__(self, num_classes=4):
        super().__init__()
        self.network = cnn(num_classes)

    def forward(self, x):
        logits = self.network(x).exp()
        return logits.mul_(2)


class Volume(nn.Module):
    """Has weights of five dimensions."""

    def __init__(self, num_classes=4):
        super().__init__()
        self.conv, self.volume = nn.Conv2d(3, 8, 3), nn.Conv3d(1, 2, 3)
        self.head = nn.Linear(2, num_classes)

    def forward(self, x):
        return self.head(self.volume(self.conv(x).unsqueeze(1)).mean((2, 3, 4)))


class Unused(nn.Module):
    def __init__(self, num_classes=4, trains=True):
        super().__init__()
        self.network = cnn(num_classes)
        self.spare = nn.Linear(2, 2).requires_grad_(trains)

    def forward(self, x):
        return self.network(x)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"network": Auxiliary},
            r"model: gives a tuple in training mode, .*\+model.constructor.aux_logits=false",
        ),
        (
            {"network": partial(Auxiliary, further=lambda logits: logits[:, :2])},
            r"model: gives outputs of shape \(32, 2\) for 32 images in training mode; .*4 classes",
        ),
        (
            {"network": with_batch_norm, "batch": 1},
            r"recipe.dense.batch_size=1: a training step on 1 image a process .* is 2 or more",
        ),
        (
            {"network": with_batch_norm, "batch": 3, "devices": 3},
            r"recipe.dense.batch_size=3: a training step on 1 image a process .* is 6 or more",
        ),
        ({"network": Views}, r"model.channels_last=true: .*view size.*; allowed here is false"),
        ({"network": ViewsInTraining}, r"model.channels_last=true: a training step .*view size"),
        ({"network": InPlace}, r"model: a training step on 32 images of \(3, 8, 8\) fails .*place"),
        (
            {"network": Unused, "devices": 2},
            r"trainer.devices=2: .*uses none of spare.weight, spare.bias; allowed are",
        ),
        (
            {"optimizer": lambda groups: SimpleOptimizer(groups, {})},
            r"recipe.dense.optimizer: its step fails \(no step today\)",
        ),
    ],
)
def test_what_only_training_shows_is_named_before_it(settings, message):
    with pytest.raises(InputError, match=message):
        check(**settings)


class SimpleOptimizer(torch.optim.Optimizer):
    def step(self, closure=None):
        raise RuntimeError("no step today")


@pytest.mark.parametrize(
    "settings",
    [
        {"network": with_batch_norm, "batch": 2},
        {"batch": 1, "network": partial(Auxiliary, further=lambda logits: logits)},
        {"network": Volume},
        {"network": Unused},
        {"network": partial(Unused, trains=False), "devices": 2},
        {"macs": 10**12},
    ],
)
def test_networks_that_train_pass(settings):
    check(**settings)


@pytest.mark.parametrize(
    ("optimizer", "copies"),
    [
        (partial(torch.optim.SGD, lr=0.1), 0),
        (MOMENTUM, 1),
        (ADAM, 2),
        (partial(torch.optim.AdamW, lr=0.1, amsgrad=True), 3),
    ],
)
def test_the_optimizer_s_state_is_counted_as_it_is(optimizer, copies):
    parameters = sum(p.numel() for p in cnn().parameters())
    counters = 4 * len(list(cnn().parameters()))

    for step in check(optimizer=optimizer).values():
        assert 0 <= step.optimizer_bytes - copies * 4 * parameters <= counters
        assert step.image_seconds > 0


def test_a_step_of_a_costly_network_takes_two_images():
    seen = []

    class Watched(nn.Module):
        def __init__(self, num_classes=4):
            super().__init__()
            self.network = cnn(num_classes)

        def forward(self, x):
            if self.training:
                seen.append(len(x))
            return self.network(x)

    check(Watched, macs=10**11)
    check(Watched, macs=1000)
    # Each phase takes a quick step twice.
    assert seen == [2] * 4 + [32] * 4


class Ghost(nn.Module):
    """Takes its images eight at a time."""

    def __init__(self, num_classes):
        super().__init__()
        self.layer = nn.Linear(192, num_classes)

    def forward(self, images):
        return self.layer(images.flatten(1).view(-1, 8, 192)).flatten(0, 1)


@pytest.mark.parametrize("macs", [2 * 10**10 // 33, 2 * 10**10 // 15])
def test_part_of_a_batch_is_no_reason_to_refuse_a_network_that_takes_the_whole(macs):
    ghost = partial(small_setup, network=Ghost)
    how = replace(phase(), batch_size=32)

    check_training(ghost(), {"dense": how}, macs)
    with pytest.raises(InputError, match="a training step on 12 images"):
        check_training(ghost(), {"dense": replace(how, batch_size=12)}, 1000)


def test_the_whole_network_counts_not_only_what_is_pruned():
    setup = small_setup()
    network = setup.new_network()
    convolutions = (8 * 27 * 64, 8 * 72 * 4, 8 * 72 * 1, 8 * 4)

    assert network_macs(network, setup) >= 8 * 27 * 64 + sum(convolutions[3:])
    assert network_macs(nn.Flatten(), setup) is None
    assert network_macs(nn.Linear(3, 3), setup) is None


def test_the_check_changes_no_network_and_no_random_stream():
    setup = small_setup()
    network = setup.new_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    expected = torch.rand(1), np.random.rand(), random.random()
    torch.manual_seed(3), np.random.seed(3), random.seed(3)
    check_training(setup, {"dense": phase()}, 1000)

    assert (torch.rand(1), np.random.rand(), random.random()) == expected
    assert all(torch.equal(before[n], v) for n, v in network.state_dict().items())


def test_five_dimensional_weights_keep_their_layout_and_others_are_channels_last():
    network = Model(Volume).build(4)

    assert network.conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert network.volume.weight.is_contiguous()
