"""Which networks of `model=` the sparse runtime supports, and how it refuses the others."""

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from lightprune.errors import InputError
from lightprune.models.registry import builder_of
from lightprune.models.zoo import CifarResNet, vgg16_bn_cifar, vit
from lightprune.sparse.frontend.trace import trace

SHAPE = (3, 32, 32)
MODELS = Path(__file__).parents[2] / "configs" / "model"


@pytest.mark.parametrize("file", sorted(MODELS.glob("*.yaml")), ids=lambda file: file.stem)
def test_every_network_of_the_configs_is_built_again_from_its_name(file):
    named = re.findall(
        r"_target_: (torchvision\S+|lightprune\.training\.network\S+)", file.read_text()
    )

    for name in [name for name in named if not name.endswith(".Model")]:
        with torch.device("meta"):
            assert builder_of(name)(num_classes=10)


@pytest.mark.parametrize(
    "build", [lambda: CifarResNet(1, 10, "A"), lambda: CifarResNet(1, 10, "B"), vgg16_bn_cifar]
)
def test_a_network_of_convolutions_and_relus_is_traced(build):
    with torch.device("meta"):
        network = build()

    traced = trace(network, SHAPE)

    used = {name for op in traced.ops for name in op.tensors().values()}
    assert used == {n for n in network.state_dict() if not n.endswith("num_batches_tracked")}
    assert traced.shapes[traced.output] == (10, 1, 1)


@pytest.mark.parametrize(
    ("build", "named"),
    [
        (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.PReLU()), "prelu in 1"),
        (lambda: vit(num_layers=1), "a reshape to"),
    ],
    ids=["prelu", "vit"],
)
def test_an_unsupported_network_is_refused_in_one_line_that_names_the_operator(build, named):
    with torch.device("meta"):
        network = build()

    with pytest.raises(InputError, match=named) as refused:
        trace(network, SHAPE)

    assert len(str(refused.value).splitlines()) == 1


def test_grouped_and_dilated_convolutions_are_traced():
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, groups=3), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=2, dilation=2)
    )
    first, _, second = trace(network, SHAPE).ops

    assert (first.groups, second.groups, second.dilation) == (3, 2, (2, 2))
