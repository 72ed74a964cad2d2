"""A residual network small enough for tests of the whole program."""

import torch
from torch import nn
from torch.nn.utils.parametrizations import orthogonal
from torchvision.models.resnet import BasicBlock, ResNet

from lightprune.pruning import OneShot
from lightprune.pruning.criteria import Magnitude


class TinyResNet(ResNet):
    def __init__(self, num_classes=10):
        with torch.device("meta"):  # Wide layers that are replaced: they draw no weights.
            super().__init__(BasicBlock, [1, 1, 1, 1], num_classes=num_classes)
        self.inplanes = 8
        self.conv1 = nn.Conv2d(3, 8, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.layer1 = self._make_layer(BasicBlock, 8, 1)
        self.layer2 = self._make_layer(BasicBlock, 16, 1, stride=2)
        self.layer3 = self._make_layer(BasicBlock, 32, 1, stride=2)
        self.layer4 = self._make_layer(BasicBlock, 32, 1, stride=2)
        self.fc = nn.Linear(32, num_classes)


def tiny_resnet(num_classes=10):
    return TinyResNet(num_classes)


def broken(num_classes=10):
    raise RuntimeError("no such network today")


def without_convolutions(num_classes=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, num_classes))


def without_batch_norms(num_classes=10):
    return nn.Sequential(nn.Conv2d(3, 4, 32), nn.Flatten(), nn.Linear(4, num_classes))


def for_one_pixel(num_classes=10):
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), nn.Linear(4, num_classes))


def of_two_classes(num_classes=10):
    return tiny_resnet(2)


def partly_dense(num_classes=10):
    network = tiny_resnet(num_classes)
    orthogonal(network.layer1[0].conv1)
    network.conv1.requires_grad_(False)
    network.layer2[0].conv1.requires_grad_(False)
    return network


def with_unused_parameters(num_classes=10):
    network = tiny_resnet(num_classes)
    network.spare = nn.Linear(2, 2)
    return network


class GatedResNet(TinyResNet):
    """Its classes are gated by a weight that is in no product of matrices."""

    def __init__(self, num_classes=10):
        super().__init__(num_classes)
        self.gate = nn.Conv2d(num_classes, 1, 1)

    def forward(self, images):
        return super().forward(images) * self.gate.weight.flatten().exp()


def gated(num_classes=10):
    return GatedResNet(num_classes)


class RaisesInForward(TinyResNet):
    def forward(self, images):
        raise KeyError("no such scale")


class RaisesInTraining(TinyResNet):
    def forward(self, images):
        if self.training:
            self.lost.append(images)
        return super().forward(images)


class RaisingCriterion(Magnitude):
    def __post_init__(self):
        raise ZeroDivisionError("no such norm")


class RaisingSchedule(OneShot):
    def plan(self, epochs, steps=None):
        return [][epochs]
