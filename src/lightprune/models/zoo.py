"""Constructors of networks for CIFAR-sized images that torchvision does not have."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18, resnet34, resnet50
from torchvision.models.resnet import BasicBlock
from torchvision.models.vgg import cfgs, make_layers
from torchvision.models.vision_transformer import VisionTransformer

from lightprune.errors import check_choice

# Channels of the three stages: He et al. 2016, section 4.2.
_WIDTHS = (16, 32, 64)


def replace_stem(network: nn.Module) -> nn.Module:
    """Gives a ResNet of torchvision the CIFAR stem, in place: a 3x3 convolution, no max-pool.

    The stem of He et al. 2016, section 4.2. No map gets smaller than 4x4 at 32x32 input, so
    every weight is reachable.
    """
    network.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    network.maxpool = nn.Identity()
    return network


def resnet18_cifar(num_classes: int = 10, **settings: Any) -> nn.Module:
    """ResNet18 of torchvision with the CIFAR stem; `settings` are torchvision's."""
    return replace_stem(resnet18(num_classes=num_classes, **settings))


def resnet34_cifar(num_classes: int = 10, **settings: Any) -> nn.Module:
    """ResNet34 of torchvision with the CIFAR stem; `settings` are torchvision's."""
    return replace_stem(resnet34(num_classes=num_classes, **settings))


def resnet50_cifar(num_classes: int = 10, **settings: Any) -> nn.Module:
    """ResNet50 of torchvision with the CIFAR stem; `settings` are torchvision's."""
    return replace_stem(resnet50(num_classes=num_classes, **settings))


def resnet20(num_classes: int = 10, shortcut: str = "B") -> nn.Module:
    """ResNet-20 for CIFAR: a `CifarResNet` of 3 blocks a stage, 0.27 million weights."""
    return CifarResNet(3, num_classes, shortcut)


def resnet56(num_classes: int = 10, shortcut: str = "B") -> nn.Module:
    """ResNet-56 for CIFAR: a `CifarResNet` of 9 blocks a stage, 0.86 million weights."""
    return CifarResNet(9, num_classes, shortcut)


class CifarResNet(nn.Module):
    """The narrow ResNets of CIFAR: three stages of 16, 32 and 64 channels on 32, 16 and 8 pixels.

    6 `blocks` + 2 layers with weights, drawn as by He et al. 2015, "Delving Deep into
    Rectifiers" (normal, fan-out as torchvision has it). `shortcut` joins two stages: `B`, a 1x1
    convolution and batch norm, which the sparse runtime knows too; or `A`, the paper's on CIFAR:
    every second pixel, and zeros for the new channels, without any weight.

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", section 4.2.
    """

    def __init__(self, blocks: int, num_classes: int, shortcut: str) -> None:
        super().__init__()
        check_choice("shortcut", shortcut, _SHORTCUTS)
        self.conv1 = nn.Conv2d(3, _WIDTHS[0], kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(_WIDTHS[0], _WIDTHS[0], blocks)
        self.layer2 = _stage(_WIDTHS[0], _WIDTHS[1], blocks, shortcut)
        self.layer3 = _stage(_WIDTHS[1], _WIDTHS[2], blocks, shortcut)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(_WIDTHS[2], num_classes)
        _he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of images (N, 3, H, W)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        logits: Tensor = self.fc(self.avgpool(x).flatten(1))
        return logits


class PadShortcut(nn.Module):
    """Option A: every second row and column, and channels of zeros behind the others."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.added = channels - before

    def forward(self, x: Tensor) -> Tensor:
        """From (N, before, H, W) to (N, channels, H/2, W/2)."""
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, self.added))


def _projection_shortcut(before: int, channels: int) -> nn.Module:
    convolution = nn.Conv2d(before, channels, kernel_size=1, stride=2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


_SHORTCUTS: dict[str, Callable[[int, int], nn.Module]]
_SHORTCUTS = {"A": PadShortcut, "B": _projection_shortcut}


def _stage(before: int, channels: int, blocks: int, shortcut: str | None = None) -> nn.Sequential:
    """Residual blocks; with a shortcut, the first halves the map and widens it."""
    join = _SHORTCUTS[shortcut](before, channels) if shortcut else None
    first = BasicBlock(before, channels, 2 if shortcut else 1, join)
    return nn.Sequential(first, *(BasicBlock(channels, channels) for _ in range(1, blocks)))


def _he_normal(network: nn.Module) -> None:
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def vgg16_bn_cifar(num_classes: int = 10) -> nn.Module:
    """VGG16 with batch norm and, as is usual on CIFAR, one linear layer: 14.7 million weights.

    Configuration D of Simonyan and Zisserman 2015, "Very Deep Convolutional Networks". The
    convolutions are torchvision's `vgg16_bn`, under the same names. Its own classifier has 124
    million weights on 7x7 maps, which at 32x32 input are 49 copies of one pixel. No map is
    smaller than 2x2 in front of a convolution, so every weight is reachable.
    """
    features, classifier = make_layers(cfgs["D"], batch_norm=True), nn.Linear(512, num_classes)
    _he_normal(features)
    nn.init.normal_(classifier.weight, std=0.01)
    nn.init.zeros_(classifier.bias)
    layers = {
        "features": features,
        "avgpool": nn.AdaptiveAvgPool2d(1),
        "flatten": nn.Flatten(),
        "classifier": classifier,
    }
    return nn.Sequential(OrderedDict(layers))


def vit(num_classes: int = 10, **settings: Any) -> nn.Module:
    """VisionTransformer of torchvision for small images: 3.2 million weights without settings.

    The settings are torchvision's, by default those of ViT-Lite-6/4 on 32x32 pixels (Hassani et al.
    2021, "Escaping the Big Data Paradigm with Compact Transformers"): `patch_size` divides
    `image_size`, `num_heads` `hidden_dim`. The head is drawn as the blocks' linear layers are: from
    torchvision's zeros no logit depends on the image before training, no gradient reaches what is
    below the head, and ranked by magnitude after little training it is the first to go.
    """
    network: nn.Module = VisionTransformer(num_classes=num_classes, **(_VIT_LITE | settings))
    nn.init.xavier_uniform_(network.get_parameter("heads.head.weight"))
    return network


_VIT_LITE: dict[str, Any] = {
    "image_size": 32,
    "patch_size": 4,
    "num_layers": 6,
    "num_heads": 4,
    "hidden_dim": 256,
    "mlp_dim": 512,
}
