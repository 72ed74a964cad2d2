"""Which constructors a file may name, by what names, and what of earlier versions still loads."""

import pytest
import torch
from torchvision.models import regnet_x_400mf, resnet18

from lightprune.errors import InputError
from lightprune.models import slim_network, zoo
from lightprune.models.from_spec import module_from_spec, registered_constructor
from lightprune.models.registry import builder_of
from lightprune.models.slim import channel_counts
from lightprune.models.spec import ModelSpec

ZOO = ("resnet18_cifar", "resnet34_cifar", "resnet50_cifar", "resnet20", "resnet56", "vit")


@pytest.mark.parametrize("name", [*ZOO, "vgg16_bn_cifar"])
@pytest.mark.parametrize("module", ["models", "models.zoo", "training.networks"])
def test_the_zoo_is_known_by_the_last_component_of_a_name(module, name):
    assert builder_of(f"lightprune.{module}.{name}") is getattr(zoo, name)


@pytest.mark.parametrize(
    "name", ["models.slim_network", "models.slim.slim_network", "training.narrowed.narrowed"]
)
def test_the_slim_network_is_known_by_its_names_of_today_and_before(name):
    assert registered_constructor(f"lightprune.{name}") is slim_network


@pytest.mark.parametrize("module", ["torchvision.models", "torchvision.models.resnet"])
def test_networks_of_torchvision_are_known_by_both_of_their_names(module):
    assert builder_of(f"{module}.resnet18") is resnet18


@pytest.mark.parametrize(
    "name",
    [
        "lightprune.training.networks.resnet18",
        "lightpruned.models.resnet20",
        "elsewhere.resnet20",
        "resnet20",
        "elsewhere.narrowed",
        "torchvision.models.vgg.resnet18",
        "torchvision.models.get_model",
    ],
)
def test_other_names_are_not_imported(name):
    with pytest.raises(InputError, match=f"^{name}: is not imported because a file says so"):
        registered_constructor(name)


def test_a_slim_network_of_an_earlier_version_is_built():
    whole = zoo.resnet20(10)
    arguments = {"base": "lightprune.training.networks.resnet20", "channels": channel_counts(whole)}
    spec = ModelSpec(
        "lightprune.training.narrowed.narrowed",
        arguments,
        (3, 32, 32),
        (0.5,) * 3,
        (0.5,) * 3,
        tuple("abcdefghij"),
    )

    built = module_from_spec(spec, whole.state_dict())

    assert built.state_dict().keys() == whole.state_dict().keys()


def test_a_network_that_reads_values_as_it_is_built_is_built_with_values():
    whole = regnet_x_400mf(num_classes=2).eval()
    spec = ModelSpec(
        "torchvision.models.regnet_x_400mf",
        {},
        (3, 32, 32),
        classes=("a", "b"),
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
    )
    images = torch.randn(1, 3, 32, 32)

    assert torch.equal(module_from_spec(spec, whole.state_dict())(images), whole(images))


@pytest.mark.parametrize(
    ("value", "allowed"),
    [
        ([[1, 2], [3, 4]], True),
        ({"width": [1, None], "act": {"name": "relu"}}, True),
        ({"_target_": "os.system"}, False),
        ([{"weights": "DEFAULT"}], False),
        (object(), False),
    ],
)
def test_arguments_are_plain_values_however_deep(value, allowed):
    def spec():
        return ModelSpec("a.b", {"stages": value}, (3, 8, 8))

    if allowed:
        assert ModelSpec.from_json(spec().to_json()) == spec()
    else:
        with pytest.raises(ValueError, match=r"arguments\.stages of the description"):
            spec()
