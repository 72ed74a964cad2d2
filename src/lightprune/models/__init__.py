"""Networks: the zoo, how one is built and run, its spec in files, slim (channel-pruned) ones."""

from lightprune.models.model import Model
from lightprune.models.slim import slim_network
from lightprune.models.zoo import (
    resnet18_cifar,
    resnet20,
    resnet34_cifar,
    resnet50_cifar,
    resnet56,
    vgg16_bn_cifar,
    vit,
)

__all__ = [
    "Model",
    "resnet18_cifar",
    "resnet20",
    "resnet34_cifar",
    "resnet50_cifar",
    "resnet56",
    "slim_network",
    "vgg16_bn_cifar",
    "vit",
]
