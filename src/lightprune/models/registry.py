"""The constructors that a file may name: torchvision's classification networks and our own."""

from collections.abc import Callable

import torchvision
from torch import nn

from lightprune.errors import InputError
from lightprune.models.zoo import (
    resnet18_cifar,
    resnet20,
    resnet34_cifar,
    resnet50_cifar,
    resnet56,
    vgg16_bn_cifar,
    vit,
)

Constructor = Callable[..., nn.Module]

_OWN: dict[str, Constructor] = {
    f"lightprune.models.{build.__name__}": build
    for build in (
        resnet18_cifar,
        resnet34_cifar,
        resnet50_cifar,
        resnet20,
        resnet56,
        vgg16_bn_cifar,
        vit,
    )
}


def builder_of(name: str) -> Constructor:
    """The constructor of that dotted name, if files may name it.

    Raises:
        InputError: It is neither torchvision's nor this package's.
    """
    if name in _OWN:
        return _OWN[name]
    models = torchvision.models
    last = name.rpartition(".")[2]
    if last in models.list_models(module=models):
        builder: Constructor = models.get_model_builder(last)
        if name in (f"{models.__name__}.{last}", f"{builder.__module__}.{last}"):
            return builder
    raise InputError(
        f"{name}: is not imported because a file says so; allowed are torchvision.models and "
        f"{', '.join(_OWN)}, or one's own by constructor= (--constructor NAME)"
    )
