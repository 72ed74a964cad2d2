"""Filter pruning: what goes, that nothing else changes, and a run on what is left."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import nn
from torchvision.models import mobilenet_v2, resnet18, resnet50, squeezenet1_1

import lightprune
from lightprune.cli.main import main
from lightprune.errors import InputError
from lightprune.experiment.schema import register_configs
from lightprune.models.slim import channel_counts
from lightprune.models.zoo import resnet20, vgg16_bn_cifar, vit
from lightprune.structured.channel_pruning import ChannelPruning, prune_channels
from tests.export.finished import with_statistics
from tests.system.entry import ROOT, TINY, record, shortest

EXAMPLE = torch.zeros(1, 3, 32, 32)
IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def chain():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, stride=2, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(12, 5),
    )


def silence_(network, first, norm, second, channels):
    """Channels that are always zero and that nothing hears."""
    with torch.no_grad():
        network[first].weight[channels] = 0
        network[norm].weight[channels] = 0
        network[norm].bias[channels] = 0
        network[second].weight[:, channels] = 0


def test_silent_channels_go_first_and_the_logits_stay():
    network = with_statistics(chain())
    silence_(network, 0, 1, 3, [1, 2, 4, 7])
    silence_(network, 3, 4, 8, [0, 1, 5, 6, 8, 11])
    smaller = prune_channels(network, EXAMPLE, ChannelPruning(0.5))

    assert torch.equal(smaller[0].weight, network[0].weight[[0, 3, 5, 6]])
    kept = network[3].weight[[2, 3, 4, 7, 9, 10]]
    assert torch.equal(smaller[3].weight, kept[:, [0, 3, 5, 6]])
    torch.testing.assert_close(smaller(IMAGES), network(IMAGES))
    assert network[0].out_channels == 8


def test_all_layers_together_lose_where_least_is_lost():
    network = with_statistics(chain())
    silence_(network, 0, 1, 3, [0, 1, 2, 3, 5, 6, 7])
    together = prune_channels(network, EXAMPLE, ChannelPruning(0.35, scope="global"))
    each = prune_channels(network, EXAMPLE, ChannelPruning(0.35))

    assert (together[0].out_channels, together[3].out_channels) == (1, 12)
    assert (each[0].out_channels, each[3].out_channels) == (5, 7)


@pytest.mark.parametrize("norm", ["l1", "l2"])
@pytest.mark.parametrize("build", [resnet18, resnet50, resnet20, mobilenet_v2, vgg16_bn_cifar])
def test_what_is_left_has_the_same_logits_and_half_the_channels(build, norm):
    network = build(num_classes=10).eval()
    smaller = prune_channels(network, EXAMPLE, ChannelPruning(0.5, norm=norm))

    assert smaller(IMAGES).shape == (3, 10)
    pairs = list(zip(channel_counts(network), channel_counts(smaller), strict=True))
    assert {left / whole for whole, left in pairs if whole not in (3, 10)} == {0.5}
    assert all(whole == left for whole, left in pairs if whole in (3, 10))


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"sparsity": 0.0}, r"--sparsity=0\.0: allowed is a number in \(0, 1\)"),
        ({"sparsity": 1.0}, r"--sparsity=1\.0: allowed is a number in \(0, 1\)"),
        ({"sparsity": 0.5, "scope": "erk"}, "--scope=erk: allowed are local, global"),
        ({"sparsity": 0.5, "norm": "l3"}, "--norm=l3: allowed are l1, l2"),
        ({"sparsity": 0.5, "network": "x"}, "--network=x: allowed are dense, pruned"),
    ],
)
def test_wrong_settings_are_refused(settings, complaint):
    with pytest.raises(InputError, match=complaint):
        ChannelPruning(**settings)


def test_a_layer_keeps_at_least_one_channel():
    with pytest.raises(
        InputError, match=r"=0\.95: would leave conv1 none of its 16 channels; .* 0\.9375"
    ):
        prune_channels(resnet20().eval(), EXAMPLE, ChannelPruning(0.95))
    with pytest.raises(InputError, match=r"--sparsity=0\.99: would remove no channel"):
        prune_channels(chain().eval(), EXAMPLE, ChannelPruning(0.99, scope="global"))
    smallest = prune_channels(resnet20().eval(), EXAMPLE, ChannelPruning(0.9375))

    assert smallest.conv1.out_channels == 1


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (chain()[1:], "its channels cannot be followed"),
        (resnet20(shortcut="A"), "its channels cannot be followed"),
        (squeezenet1_1(num_classes=10), "its logits would be fewer"),
    ],
)
def test_a_network_that_cannot_be_followed_is_refused(network, reason):
    with pytest.raises(InputError, match=f"{reason}.*whose shortcuts have weights"):
        prune_channels(network.eval(), EXAMPLE, ChannelPruning(0.5))


@pytest.fixture(scope="module")
def run(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("filters")
    words = shortest("model=resnet20", "schedule.sparsity=0.5", "data.size=16")
    done = server.train(folder, *(word for word in words if word != TINY))
    assert done.returncode == 0, done.stderr
    return folder / "run"


def test_the_printed_command_trains_the_smaller_network(run, server, tmp_path, capsys):
    assert main(["filters", str(run), "--sparsity", "0.5"]) == 0
    *costs, command = capsys.readouterr().out.splitlines()
    program, *words = shlex.split(command)[1:]
    done = server.train(tmp_path, *words)

    assert done.returncode == 0, done.stderr
    assert Path(program).name == "train.py"
    assert costs[0].endswith("(50.0%)")
    before, after = record(run), record(tmp_path / "run")
    assert after["cost"]["weights"] < 0.3 * before["cost"]["weights"]
    network = lightprune.load(tmp_path / "run")
    assert network(IMAGES).shape == (3, 10)
    assert network.conv1.out_channels == 8
    (weights,) = (run / "filters").glob("*.safetensors")
    assert channel_counts(lightprune.load(weights)) == channel_counts(network)


def test_the_pruned_network_can_lose_its_channels_too(run, capsys):
    assert main(["filters", str(run), "--sparsity=0.25", "--network=pruned"]) == 0
    *_, command = capsys.readouterr().out.splitlines()

    (other,) = (word for word in shlex.split(command) if word.startswith("model="))
    assert main(["filters", str(run), "--sparsity=0.25", "--norm=l2"]) == 0
    assert other.startswith("model=filters_local_l1_25_")
    assert other not in capsys.readouterr().out


def test_a_network_of_other_layers_is_refused_in_a_line(run, tmp_path, capsys):
    found = json.loads((run / "run.json").read_text())
    found["config"]["model"]["constructor"] = {"_target_": "lightprune.models.vit"}
    place = Path(tmp_path, "run")
    place.mkdir()
    (place / "run.json").write_text(json.dumps(found))
    lightprune.files.write_weights(place / "model.safetensors", vit().state_dict())

    assert main(["filters", str(place), "--sparsity=0.5", "--network=pruned"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {place}: lightprune.models.vit: ")
    assert "allowed are Conv2d, Linear, BatchNorm2d" in line


@pytest.mark.parametrize(
    "said",
    [
        "train.py experiment=demo seed=3",
        "train.py -m seed=1,2",
        "train.py --config-dir=/own data=mine",
        "/some/where/experiment.py run.yaml outputs/run",
    ],
)
def test_what_words_alone_do_not_tell_is_left_open(run, tmp_path, capsys, said):
    place = shutil.copytree(run, tmp_path / "it's a, run=1")
    found = record(place)
    (place / "run.json").write_text(json.dumps({**found, "command": said}))

    assert main(["filters", str(place), "--sparsity=0.5", "--network=pruned"]) == 0
    *_, command = capsys.readouterr().out.splitlines()
    assert shlex.split(command)[:3] == ["python", "train.py", "..."]
    checkpoint = next(w for w in shlex.split(command) if w.startswith("dense.checkpoint="))
    config = OmegaConf.to_container(compose_words([checkpoint]))
    assert Path(config["dense"]["checkpoint"]).parent == place / "filters"


def test_a_network_that_lost_channels_is_not_its_own_teacher(run, tmp_path, capsys):
    place = shutil.copytree(run, tmp_path / "run")
    found = record(place)
    words = ["recipe=full", "recipe.finetune.distillation.temperature=2", "data=digits"]
    found["command"] = " ".join(["train.py", *words])
    found["config"]["recipe"]["finetune"]["distillation"] = {"weight": 0.5, "temperature": 2}
    (place / "run.json").write_text(json.dumps(found))

    assert main(["filters", str(place), "--sparsity=0.5", "--network=pruned"]) == 0
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert [word for word in command if "distillation" in word] == [
        "recipe.finetune.distillation.weight=0"
    ]
    assert "recipe=full" in command


def compose_words(words):
    register_configs()
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        return compose("train", words)


@pytest.mark.long
def test_the_smaller_network_can_be_made_smaller_and_exported(run, server, tmp_path, capsys):
    assert main(["filters", str(run), "--sparsity=0.5"]) == 0
    *_, command = capsys.readouterr().out.splitlines()
    assert server.train(tmp_path, *shlex.split(command)[2:]).returncode == 0
    again = tmp_path / "run"

    assert main(["filters", str(again), "--sparsity=0.5", "--network=pruned"]) == 0
    (weights,) = (again / "filters").glob("*.safetensors")
    assert lightprune.load(weights).conv1.out_channels == 4
    assert main(["export", str(again), "--formats=sparse"]) == 0
    sparse = lightprune.load(again / "export" / "model.sparse.safetensors")
    images = IMAGES[..., :16, :16]
    torch.testing.assert_close(sparse(images), lightprune.load(again)(images))


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            lambda found: found["config"]["model"]["constructor"].update(_target_="my.net"),
            "is a custom constructor",
        ),
        (lambda found: found.pop("dense"), "is damaged (Object missing required field `dense`)"),
    ],
)
def test_a_run_that_tells_too_little_is_one_line(run, tmp_path, capsys, change, complaint):
    place = shutil.copytree(run, tmp_path / "run")
    found = record(place)
    change(found)
    (place / "run.json").write_text(json.dumps(found))

    assert main(["filters", str(place), "--sparsity=0.5"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert complaint in line


def test_a_file_is_no_run(run, capsys):
    assert main(["filters", str(run / "model.safetensors"), "--sparsity=0.5"]) == 1
    assert "holds no run; allowed is the folder of a finished run" in capsys.readouterr().err
