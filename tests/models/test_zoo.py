"""Every network that `model=` offers: it is built, trained a step, pruned, saved and read back."""

from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from safetensors.torch import load_file
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision import models

from lightprune.experiment.config import load_settings
from lightprune.experiment.schema import register_configs
from lightprune.files import write_weights
from lightprune.models import zoo as networks
from lightprune.models.model import Model
from lightprune.pruning.cost.mac_counts import count_macs
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL_VIT = {"patch_size": 4, "num_layers": 6, "num_heads": 4, "hidden_dim": 256, "mlp_dim": 512}
# What anyone may load the saved weights into, and the network's size.
BARE = {
    "resnet18": (models.resnet18, 11_181_642),
    "resnet18_cifar": (networks.resnet18_cifar, 11_173_962),
    "resnet34": (models.resnet34, 21_289_802),
    "resnet34_cifar": (networks.resnet34_cifar, 21_282_122),
    "resnet50": (models.resnet50, 23_528_522),
    "resnet50_cifar": (networks.resnet50_cifar, 23_520_842),
    "resnet20": (networks.resnet20, 272_474),
    "resnet56": (networks.resnet56, 855_770),
    "vgg16_bn": (networks.vgg16_bn_cifar, 14_728_266),
    "mobilenet_v2": (models.mobilenet_v2, 2_236_682),
    "vit": (partial(models.VisionTransformer, image_size=32, **SMALL_VIT), 3_195_146),
}
# Of the families of others.
LARGE = ("resnet34", "resnet34_cifar", "resnet50", "resnet18_cifar")
DEAD = {
    "resnet18": 6_946_816,
    "resnet34": 11_141_120,
    "resnet50": 5_505_024,
    "mobilenet_v2": 8 * (960 + 960 + 960) + 5 * 576,
}
CONVOLUTIONS_AND_MORE = Targets(types=("Conv2d", "Linear", "MultiheadAttention"))


def settings_of(*overrides):
    register_configs()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return load_settings(compose("train", list(overrides)))


def on_meta(build):
    with torch.device("meta"):
        return build()


def test_every_network_of_the_configs_is_known_here():
    assert set(BARE) == {file.stem for file in (CONFIGS / "model").glob("*.yaml")}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.long) if n in LARGE else n for n in BARE],
)
def test_a_network_trains_a_step_is_pruned_and_its_file_loads_into_the_bare_one(name, tmp_path):
    chosen = settings_of(f"model={name}")
    network = chosen.model.build(10)
    weights = chosen.targets.find(network)

    network(chosen.model.to_memory_format(torch.randn(2, 3, 32, 32))).square().sum().backward()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in weights.values())
    assert all(w.grad.any() for w in weights.values())
    Pruner().prune(weights, Masks.dense(weights), 0.5).apply_(weights)
    total = sum(w.numel() for w in weights.values())
    assert sum(int((w == 0).sum()) for w in weights.values()) == round(0.5 * total)

    write_weights(tmp_path / "model.safetensors", network.state_dict())
    constructor, size = BARE[name]
    bare = on_meta(lambda: constructor(num_classes=10))
    bare.load_state_dict(load_file(tmp_path / "model.safetensors"), assign=True)
    assert sum(p.numel() for p in bare.parameters()) == size
    assert all(torch.equal(bare.get_parameter(n), w) for n, w in weights.items())
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        expected, found = bare.eval()(images), network.eval()(chosen.model.to_memory_format(images))
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", BARE)
def test_multiplications_are_those_that_torch_counts_and_unreachable_weights_the_known_ones(name):
    network = on_meta(lambda: BARE[name][0](num_classes=10))
    weights = CONVOLUTIONS_AND_MORE.find(network)
    image = torch.zeros(1, 3, 32, 32, device="meta")
    # Operators of torch that multiply with weights; attention multiplies tokens with tokens too.
    with FlopCounterMode(display=False) as counter:
        network.eval()(image)
    kinds = ("convolution", "addmm", "mm")
    flops = {str(op): n for op, n in counter.get_flop_counts()["Global"].items()}

    used = count_macs(network, weights, image)

    sums = {n: int(used[n].applied.expand(w.shape).sum()) for n, w in weights.items()}
    assert 2 * sum(sums.values()) == sum(flops.get(f"aten.{kind}", 0) for kind in kinds)
    dead = [int((used[n].data.expand(w.shape) == 0).sum()) for n, w in weights.items()]
    assert sum(dead) == DEAD.get(name, 0)


def test_the_cifar_stem_keeps_the_map():
    network = networks.resnet18_cifar(num_classes=10)

    assert network.conv1.weight.shape == (64, 3, 3, 3)
    assert isinstance(network.maxpool, nn.Identity)
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_the_default_model_is_described_as_ever():
    register_configs()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        asked_for = compose("train", ["model=resnet18"]).model

    assert asked_for == {
        "_target_": "lightprune.models.Model",
        "constructor": {
            "_target_": "torchvision.models.resnet18",
            "_partial_": True,
            "weights": None,
        },
        "channels_last": True,
        "live_taps": True,
        "compile": False,
    }


@pytest.mark.parametrize(("blocks", "build"), [(3, networks.resnet20), (9, networks.resnet56)])
def test_the_narrow_resnets_have_the_depth_of_their_name(blocks, build):
    network = on_meta(build)
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]

    stages = (network.layer1, network.layer2, network.layer3)
    assert len(layers) + 1 == 6 * blocks + 2
    assert [len(stage) for stage in stages] == [blocks] * 3


def test_the_papers_shortcut_has_no_weight_and_keeps_the_channels_there_are():
    network = networks.resnet20(shortcut="A")
    shortcut = network.layer2[0].downsample
    x = torch.randn(2, 16, 6, 6)

    out = shortcut(x)

    assert sum(p.numel() for p in network.parameters()) == 269_722
    assert torch.equal(out[:, :16], x[:, :, ::2, ::2])
    assert out.shape == (2, 32, 3, 3)
    assert not out[:, 16:].any()
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)


def test_another_shortcut_is_refused():
    with pytest.raises(ValueError, match="shortcut=C: allowed are A, B"):
        networks.resnet20(shortcut="C")


def test_the_weights_of_a_narrow_resnet_are_drawn_as_he_draws_them():
    weight = networks.resnet56().layer3[4].conv1.weight

    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    assert abs(weight.mean().item()) < 1e-3


def test_vgg16_has_the_convolutions_of_torchvision_under_their_names():
    theirs = on_meta(lambda: models.vgg16_bn(init_weights=False)).features.state_dict()
    mine = on_meta(networks.vgg16_bn_cifar).features.state_dict()

    assert {n: w.shape for n, w in mine.items()} == {n: w.shape for n, w in theirs.items()}


def test_pruning_a_transformer_means_all_its_layers_and_one_may_choose_others():
    count = {
        option: sum(w.numel() for w in chosen.targets.find(on_meta(networks.vit)).values())
        for option in ("all", "conv_linear", "conv")
        for chosen in [settings_of("model=vit", f"pruner/targets={option}")]
    }

    assert (
        settings_of("model=vit").targets == settings_of("model=vit", "pruner/targets=all").targets
    )
    assert settings_of("model=vit", "pruner=none").targets == CONVOLUTIONS_AND_MORE
    assert count["conv"] == 3 * 4 * 4 * 256
    assert count["conv_linear"] == count["conv"] + 6 * (256 * 256 + 2 * 256 * 512) + 2_560
    assert count["all"] == count["conv_linear"] + 6 * 3 * 256 * 256


def test_a_transformer_takes_images_of_the_datas_size():
    assert settings_of("model=vit", "data=digits").model.build(10).image_size == 32
    assert settings_of("model=vit", "data=digits", "data.size=16").model.build(10).image_size == 16


def test_the_logits_of_an_untrained_transformer_depend_on_the_image():
    logits = networks.vit(num_layers=1)(torch.randn(2, 3, 32, 32))

    assert not torch.equal(logits[0], logits[1])


@pytest.mark.parametrize("build", [models.mobilenet_v2, networks.resnet20])
def test_live_taps_change_neither_logits_nor_gradients(build):
    results = []
    for live_taps in (False, True):
        torch.manual_seed(0)
        network = Model(build, live_taps=live_taps).build(10).double()
        torch.manual_seed(1)
        network(torch.randn(3, 3, 32, 32, dtype=torch.float64)).square().sum().backward()
        results.append([p.grad for p in network.parameters()])

    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-7)
