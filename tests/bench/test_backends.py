"""Every backend computes what eager torch computes."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, ResNet

from lightprune.bench import backends
from lightprune.bench.backends import BACKENDS, select_backends
from lightprune.bench.csr_baseline import with_csr_weights
from lightprune.bench.model_files import ModelFiles
from lightprune.bench.output_check import compare_with_eager
from lightprune.bench.result import Speedup
from lightprune.bench.timing import Timing
from lightprune.errors import InputError
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
    tolerance = 0.05 if "bf16" in backend.name else 1e-4
    runner = backend.build(files.stripped if backend.stripped else files, 1)
    with torch.inference_mode():
        for batch in (3, 1):
            images = files.loaded.random_images(batch)
            logits = runner(images.contiguous(memory_format=backend.layout))
            expected = files.loaded.network(images)
            torch.testing.assert_close(logits, expected, rtol=tolerance, atol=tolerance)


def test_a_network_whose_weights_are_all_reached_has_nothing_to_strip(files):
    spec = replace(SPEC, input_shape=(3, 224, 224))
    loaded = LoadedNetwork(files.folder / "reached", files.loaded.network, spec, None)
    with pytest.raises(InputError, match="no weight is unreachable"):
        _ = ModelFiles(loaded, loaded.path).stripped
    assert files.stripped.plain.stat().st_size < files.plain.stat().st_size


def test_the_fastest_dense_backend_is_any_in_float32_and_the_stripped_ones_are_compared_apart():
    medians = {
        "eager": 9.0, "mnn": 5.0, "openvino": 6.0, "openvino-bf16": 1.0, "mnn-sparse": 2.0,
        "mnn-stripped": 4.0, "openvino-stripped": 3.0, "openvino-bf16-stripped": 0.5, "sparse": 2.0,
    }  # fmt: skip
    speedup = Speedup.of([Timing(n, 1, 8, 5, s, s) for n, s in medians.items()], 1, 8)

    assert (speedup.fastest_dense, speedup.over_dense, speedup.over_stripped) == ("mnn", 2.5, 1.5)


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
        "eager", "eager-stripped", "channels-last", "channels-last-stripped", "csr", "sparse",
    ]  # fmt: skip
    assert missing["onnx"] == "pip install onnx onnxscript onnxruntime makes it possible"
    assert missing["mnn-sparse"] == "pip install onnx onnxscript MNN makes it possible"
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

    # Of maps, each place by itself: here two by one, beside each other.
    maps = [torch.stack([logits, logits.flip(0)], -1)[..., None] for logits in (found, eager)]
    result = compare_with_eager("any", *maps, None)
    assert (result.differing, result.near_ties) == (4, 2)
