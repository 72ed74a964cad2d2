"""The constructors that a file may name: torchvision's classification networks and the zoo's."""

from collections.abc import Callable

import torchvision
from torch import nn

from lightprune.errors import InputError
from lightprune.models import zoo

Constructor = Callable[..., nn.Module]

_RESNETS = (zoo.resnet18_cifar, zoo.resnet34_cifar, zoo.resnet50_cifar, zoo.resnet20, zoo.resnet56)
_ZOO: dict[str, Constructor] = {
    build.__name__: build for build in (*_RESNETS, zoo.vgg16_bn_cifar, zoo.vit)
}


def builder_of(name: str) -> Constructor:
    """The constructor of that dotted name, if files may name it.

    Of this package's names the last component counts: files written by earlier versions name
    other modules of the package.

    Raises:
        InputError: It is neither torchvision's nor this package's.
    """
    package, _, last = name.rpartition(".")
    if package.partition(".")[0] == "lightprune" and last in _ZOO:
        return _ZOO[last]
    models = torchvision.models
    if last in models.list_models(module=models):
        builder: Constructor = models.get_model_builder(last)
        if package in (models.__name__, builder.__module__):
            return builder
    names = ", ".join(f"lightprune.models.{known}" for known in _ZOO)
    raise InputError(
        f"{name}: is not imported because a file says so; allowed are torchvision.models and "
        f"{names}, or your own by constructor= (--constructor NAME)"
    )
