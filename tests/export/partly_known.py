"""The small network, and then something that not every format or backend can express."""

import torch
from torch import nn
from torchvision.models import MobileNetV2

from tests.export.finished import finish, prune_convolutions, small_network, with_statistics


class Then(nn.Module):
    """The small network and a function of its logits; its state dict is the small network's."""

    def __init__(self, num_classes, function):
        super().__init__()
        self.network, self.function = small_network(num_classes), function

    def forward(self, images):
        return self.function(self.network(images))


def branching(num_classes=10):
    """What torch.export refuses: a branch that depends on values."""
    return Then(num_classes, lambda x: x if x.sum() > 0 else -x)


def bessel(num_classes=10):
    """What torch exports, and neither ONNX nor the sparse runtime knows."""
    return Then(num_classes, torch.special.bessel_j0)


def sine(num_classes=10):
    """What ONNX knows and the sparse runtime does not."""
    return Then(num_classes, torch.sin)


def mobilenet(num_classes=10):
    """The first blocks of torchvision's, with an activation unknown to the sparse runtime."""
    network = MobileNetV2(num_classes, inverted_residual_setting=[[1, 16, 1, 1], [6, 24, 1, 2]])
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(module, name, nn.Tanh())
    return network


def finished(folder, build):
    """Makes a finished run of one of them; returns what the command line needs to build it."""
    network = with_statistics(build())
    name = f"{__name__}.{build.__name__}"
    finish(folder, network, prune_convolutions(network, 0.8), constructor=name)
    return "--constructor", name
