"""What `lightprune.load` gives back, and what it refuses."""

import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18

import lightprune
from lightprune.errors import InputError
from lightprune.export.export_network import export_network
from lightprune.export.loaded_network import load_network
from lightprune.export.sparse_file import read_sparse
from lightprune.models.from_spec import import_constructor
from lightprune.models.zoo import resnet18_cifar, resnet20
from tests.export.finished import (
    change_record,
    finish,
    finished_run,
    prune_convolutions,
    small_network,
    with_statistics,
)


@pytest.fixture(scope="module", autouse=True)
def _no_onnx():
    """Nothing here reads that file, and it takes the longest to write."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lightprune.export.onnx_file.missing_packages", lambda: ["onnx"])
        yield


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small finished run with its exported files, its network, and images for it."""
    folder, network = finished_run(tmp_path_factory.mktemp("load") / "run")
    export_network(load_network(folder, small_network))
    return folder, network, torch.randn(4, 3, 8, 8)


@pytest.fixture(scope="module")
def resnet_run(tmp_path_factory):
    """A finished run of ResNet18 at 98 %."""
    network = with_statistics(resnet18(num_classes=10))
    folder, name = tmp_path_factory.mktemp("resnet"), "torchvision.models.resnet18"
    return finish(folder, network, prune_convolutions(network, 0.98), constructor=name, size=32)


@pytest.mark.parametrize(
    "place",
    ["", "model.safetensors", "export/model.safetensors", "export/model.sparse.safetensors"],
)
def test_a_module_comes_back_with_its_weights(exported, place):
    folder, network, images = exported
    module = lightprune.load(folder / place, as_module=True, constructor=small_network)

    assert type(module) is nn.Sequential
    assert not any(m.training for m in module.modules())
    assert all(p.requires_grad for p in module.parameters())
    assert torch.equal(module(images), network(images))


def test_a_sparse_network_computes_the_same(exported):
    folder, network, images = exported
    sparse = lightprune.load(folder / "export" / "model.sparse.safetensors")

    assert type(sparse).__name__ == "SparseNetwork"
    torch.testing.assert_close(sparse(images), network(images).detach(), rtol=1e-4, atol=1e-5)


def test_torchvisions_network_needs_no_constructor_and_loads_quickly(resnet_run):
    export_network(load_network(resnet_run))
    seconds = []
    for _ in range(3):
        start = time.process_time()
        module = lightprune.load(resnet_run / "export/model.sparse.safetensors", as_module=True)
        seconds.append(time.process_time() - start)

    reference = resnet18(num_classes=10)
    reference.load_state_dict(module.state_dict())
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(module(images), reference.eval()(images))
    assert min(seconds) < 0.2


def test_the_networks_of_this_package_are_known(tmp_path):
    network = resnet18_cifar(num_classes=10)
    name = "lightprune.models.resnet18_cifar"
    finish(tmp_path, network, [], constructor=name, weights=None, zero_init_residual=True)

    assert torch.equal(lightprune.load(tmp_path).conv1.weight, network.conv1.weight)


def test_a_file_of_an_earlier_version_loads():
    """It names its constructor where that was, `lightprune.training.networks.resnet20`."""
    file = Path(__file__).with_name("version_1.sparse.safetensors")
    module, sparse = lightprune.load(file, as_module=True), lightprune.load(file)
    images = torch.randn(2, 3, 16, 16)

    assert read_sparse(file).spec.constructor == "lightprune.training.networks.resnet20"
    assert module.state_dict().keys() == resnet20().state_dict().keys()
    torch.testing.assert_close(sparse(images), module(images).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("os.system", "os.system: is not imported because a file says so"),
        ("lightprune.files.write_text", "is not imported"),
        ("lightprune.models.resnet18", "is not imported"),
        ("torchvision.models.get_model", "is not imported"),
        ("elsewhere.resnet18", "is not imported"),
        ("torchvision.models.vgg11", "builds another network: features.0.weight is torch.float32"),
    ],
)
def test_a_file_cannot_choose_what_is_built(exported, tmp_path, name, said):
    folder = shutil.copytree(exported[0], tmp_path / "run")
    change_record(folder, lambda r: r["config"]["model"]["constructor"].update(_target_=name))

    with pytest.raises(InputError, match=said) as error:
        lightprune.load(folder)
    assert str(error.value).startswith(str(folder))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r["config"].pop("model"), "run.json: is damaged (lacks 'model')"),
        (lambda r: r["config"].update(data=3), "run.json: is damaged"),
        (lambda r: r["data"].update(classes=[1]), "got `int` - at `$.data.classes[0]`"),
        (lambda r: r["config"]["data"].update(std=[1, 0, 1]), "damaged (std"),
        (lambda r: r["config"]["data"].update(size="big"), "got `str` - at `$.input_shape[1]`"),
        (
            lambda r: r["config"]["model"]["constructor"].update(norm={"_target_": "a"}),
            "arguments.norm",
        ),
        (lambda r: r["data"]["classes"].pop(), "builds another network: 9.weight"),
        (lambda r: r["config"]["model"]["constructor"].update(extra=1), "unexpected keyword"),
    ],
)
def test_a_record_that_does_not_fit_is_one_line(exported, tmp_path, change, said):
    folder = shutil.copytree(exported[0], tmp_path / "run")
    change_record(folder, change)

    with pytest.raises(InputError) as error:
        lightprune.load(folder, constructor=small_network)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda f: shutil.rmtree(f), "is not there; allowed"),
        (lambda f: (f / "run.json").unlink(), "is not finished"),
        (lambda f: [(f / n).unlink() for n in ("run.json", "config.yaml")], "holds no run"),
        (lambda f: (f / "run.json").write_text("{"), "run.json: is damaged"),
        (lambda f: (f / "model.safetensors").unlink(), "model.safetensors: is damaged (No such"),
        (lambda f: os.truncate(f / "model.safetensors", 500), "model.safetensors: is damaged"),
        (lambda f: (f / "model.safetensors").write_bytes(b""), "model.safetensors: is damaged"),
    ],
)
def test_an_unfinished_or_damaged_run_is_one_line(exported, tmp_path, damage, said):
    folder = shutil.copytree(exported[0], tmp_path / "run")
    damage(folder)

    with pytest.raises(InputError) as error:
        lightprune.load(folder, constructor=small_network)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("constructor", "said"),
    [
        (partial(small_network, wrong=1), "unexpected keyword"),
        (lambda num_classes: 3, "returns a int, no torch.nn.Module"),
        (lambda num_classes: nn.Linear(1, num_classes), "another network: weight is .*, not miss"),
    ],
)
def test_a_custom_constructor_must_fit(exported, constructor, said):
    with pytest.raises(InputError, match=said):
        lightprune.load(exported[0], constructor=constructor)


@pytest.mark.parametrize("name", ["x", "no.such.module", "tests.export.finished.gone", "math.pi"])
def test_a_constructor_that_is_not_there_is_one_line(name):
    with pytest.raises(InputError, match=f"^{name}: .*; allowed is package.module.name"):
        import_constructor(name)


def test_importing_the_package_stays_light():
    code = "import sys, lightprune; sys.exit('torch' in sys.modules or 'numba' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_missing_sparse_file_and_a_folder_of_such_a_name_are_refused(tmp_path):
    (tmp_path / "folder.sparse.safetensors").mkdir()
    for name, said in (("gone", "no such file"), ("folder", "run")):
        with pytest.raises(InputError, match=rf"{name}\.sparse\.safetensors: .*{said}"):
            lightprune.load(tmp_path / f"{name}.sparse.safetensors")
