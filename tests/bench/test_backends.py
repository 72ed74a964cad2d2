"""Every backend computes what eager torch computes."""

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from lightprune.bench import backends
from lightprune.bench.backends import BACKENDS, select_backends
from lightprune.bench.csr_baseline import with_csr_weights
from lightprune.bench.model_files import ModelFiles
from lightprune.bench.output_check import compare_with_eager
from lightprune.export.loaded_network import LoadedNetwork
from lightprune.models.spec import ModelSpec
from tests.export.finished import prune_convolutions, with_statistics

SPEC = ModelSpec("none", {}, (3, 32, 32), (0.5,) * 3, (0.5,) * 3, ("a", "b", "c"))


class Small(ResNet):
    """A ResNet of four blocks and 8 to 16 channels."""

    def __init__(self):
        super().__init__(BasicBlock, [1, 1, 1, 1], num_classes=3)
        self.inplanes = 8
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8)
        for number, channels in enumerate((8, 8, 16, 16), 1):
            layer = self._make_layer(BasicBlock, channels, 1, stride=1 if number == 1 else 2)
            setattr(self, f"layer{number}", layer)
        self.fc = nn.Linear(16, 3)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    network = with_statistics(Small())
    prune_convolutions(network, 0.8)
    loaded = LoadedNetwork(tmp_path_factory.mktemp("files"), network, SPEC, None)
    return ModelFiles(loaded, loaded.path)


@pytest.mark.parametrize(
    "backend", [b for b in BACKENDS if not b.needs_compiler], ids=lambda b: b.name
)
def test_a_backend_equals_eager_on_a_small_resnet(files, backend):
    if reason := backend.missing():
        pytest.skip(reason)
    images = files.loaded.random_images(3)
    with torch.inference_mode():
        logits = backend.build(files, 1)(images.contiguous(memory_format=backend.layout))
        torch.testing.assert_close(logits, files.loaded.network(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)),
        nn.Conv2d(4, 6, 1, bias=False),
        nn.Conv2d(4, 6, 3, padding="same"),
        nn.Conv2d(4, 6, 3, groups=2),
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"),
        nn.Sequential(nn.Flatten(), nn.Linear(4 * 49, 5)),
    ],
)
def test_csr_layers_equal_dense_ones(layer, monkeypatch):
    monkeypatch.setattr("lightprune.bench.csr_baseline._LARGEST_UNFOLDED", 1000)
    images, network = torch.randn(5, 4, 7, 7), nn.Sequential(layer)
    for weight in (p for p in network.parameters() if p.dim() > 1):
        weight.data *= torch.rand_like(weight) < 0.3

    with torch.inference_mode():
        found = with_csr_weights(network)(images)
        torch.testing.assert_close(found, network(images), rtol=1e-4, atol=1e-4)


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    monkeypatch.setattr(backends.shutil, "which", lambda name: None)
    missing = {backend.name: backend.missing() for backend in BACKENDS}

    assert [name for name, reason in missing.items() if reason is None] == [
        "eager", "channels-last", "csr", "sparse",
    ]  # fmt: skip
    assert missing["onnx"] == "pip install onnx onnxscript onnxruntime makes it possible"
    assert missing["compile"] == "a C++ compiler (g++, or CXX=...) makes it possible"


def test_backends_are_selected_in_a_fixed_order():
    assert [b.name for b in select_backends("sparse, eager")] == ["eager", "sparse"]
    assert select_backends(None) == BACKENDS


def test_near_ties_are_distinguished_from_real_differences():
    eager = torch.tensor([[1.0, 0.99995], [1.0, 0.5], [1.0, 0.0]])
    found = torch.tensor([[0.9999, 1.0], [0.4, 0.5], [1.0, 0.0]])
    result = compare_with_eager("any", found, eager, torch.tensor([0, 1, 0]))

    assert (result.differing, result.near_ties, result.correct) == (2, 1, 2)
    assert result.accuracy == 2 / 3
    assert result.max_logit_difference == pytest.approx(0.6)
