"""`sparse.compile`: any module computes what it did, its sparse parts in the runtime."""

import copy
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

import lightprune
from lightprune import sparse
from tests.sparse.nets import randomize_batch_norms

SIZE = (3, 12, 10)


def block(inputs, outputs, activation, **settings):
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, **settings)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), activation)


class SqueezeExcite(nn.Module):
    """Two readers of one value, a product of maps, and two named results."""

    def __init__(self):
        super().__init__()
        self.stem, self.body = block(3, 8, nn.ReLU()), block(8, 8, nn.SiLU())
        self.squeeze, self.excite = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, images):
        maps = self.stem(images)
        gate = self.excite(self.squeeze(self.body(maps).mean((2, 3), keepdim=True)).relu())
        maps = maps + maps * gate.sigmoid()
        return {"logits": self.head(maps.mean((2, 3))), "maps": maps}


class Shuffled(nn.Module):
    """Split channels, a shuffle and a depthwise convolution with a clamped activation."""

    def __init__(self):
        super().__init__()
        self.stem = block(3, 8, nn.ReLU6())
        self.left, self.right = block(4, 4, nn.ReLU6(), groups=4), block(4, 4, nn.Hardswish())

    def forward(self, images):
        left, right = self.stem(images).chunk(2, 1)
        n, c, h, w = left.shape
        joined = torch.stack([self.left(left), self.right(right)], 2)
        return joined.reshape(n, 2 * c, h, w)


class Segmentation(nn.Module):
    """Dilated convolutions, an upsampled result and an auxiliary one."""

    def __init__(self):
        super().__init__()
        self.stem = block(3, 8, nn.ReLU(), stride=2)
        self.wide = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.head, self.side = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1)

    def forward(self, images):
        maps = self.stem(images)
        logits = F.interpolate(self.head(self.wide(maps).relu()), size=images.shape[2:])
        return logits, self.side(maps)


class TwoInputs(nn.Module):
    """An image and a row of indices."""

    def __init__(self):
        super().__init__()
        self.image, self.word = block(3, 8, nn.ReLU()), nn.Embedding(7, 8)
        self.head = nn.Linear(8, 5)

    def forward(self, images, words):
        return self.head(self.image(images).mean((2, 3)) + self.word(words).sum(1))


class ConvNeXtLike(nn.Module):
    """Linear layers on maps whose channels come last."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 2, stride=2), nn.LayerNorm(8)
        self.wide, self.narrow = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, images):
        maps = self.norm(self.conv(images).permute(0, 2, 3, 1))
        return (maps + self.narrow(F.gelu(self.wide(maps)))).permute(0, 3, 1, 2)


def encoder():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def weight_norm():
    return nn.Sequential(
        parametrizations.weight_norm(nn.Conv2d(3, 8, 3)), nn.LeakyReLU(), nn.Conv2d(8, 4, 3)
    )


IMAGES = (torch.randn(1, *SIZE),)
NETWORKS = {
    "squeeze and excite": (SqueezeExcite, IMAGES, 5),
    "shuffled channels": (Shuffled, IMAGES, 3),
    "segmentation": (Segmentation, IMAGES, 4),
    "two inputs": (TwoInputs, (*IMAGES, torch.arange(3)[None]), 2),
    "channels last": (ConvNeXtLike, IMAGES, 3),
    "encoder": (encoder, (torch.randn(1, 6, 8),), 8),
    "weight norm": (weight_norm, IMAGES, 2),
    "1-d convolutions": (
        lambda: nn.Sequential(nn.Conv1d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(80, 4)),
        (torch.randn(1, 3, 12),),
        2,
    ),
}


def pruned(build, amount=0.8):
    """A network as another tool leaves it: with the masks of torch.nn.utils.prune still on it."""
    torch.manual_seed(0)
    network = randomize_batch_norms(build(), torch.Generator().manual_seed(0)).eval()
    for layer in network.modules():
        if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear) and "weight" in layer._parameters:
            prune.l1_unstructured(layer, "weight", amount=amount)
    return network


def batch_of(example, count):
    generator = torch.Generator().manual_seed(count)
    return tuple(
        torch.randint(7, (count, *t.shape[1:]), generator=generator)
        if t.dtype is torch.int64
        else torch.randn(count, *t.shape[1:], generator=generator)
        for t in example
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_any_module_computes_what_it_did_at_every_batch_size(name):
    build, example, layers = NETWORKS[name]
    network = pruned(build)

    compiled = sparse.compile(network, example, min_speedup=0)

    assert str(compiled).count("region_") == layers
    for count in (1, 2, 7, 33):
        inputs = batch_of(example, count)
        with torch.no_grad():
            torch.testing.assert_close(compiled(*inputs), network(*inputs), rtol=1e-4, atol=1e-5)


def test_it_is_found_in_the_package():
    assert lightprune.sparse.compile is sparse.compile
    assert isinstance(sparse.compile(pruned(weight_norm), IMAGES), sparse.CompiledModule)


def test_the_module_itself_does_not_change():
    network = pruned(SqueezeExcite).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}

    sparse.compile(network, IMAGES)(*IMAGES)

    assert network.training
    assert all(torch.equal(before[n], t) for n, t in network.state_dict().items())


def test_other_sizes_recompile():
    network = pruned(SqueezeExcite)
    compiled = sparse.compile(network, IMAGES, min_speedup=0)
    images = torch.randn(3, 3, 7, 9)

    torch.testing.assert_close(compiled(images), network(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "named"),
    [
        (torch.randn(3, 3, 7, 9), r"float32 \(3, 3, 7, 9\) on cpu: compiled for"),
        (torch.randn(1, *SIZE).double(), "inputs are float64"),
        (torch.randn(SIZE), r"inputs are float32 \(3, 12, 10\)"),
    ],
    ids=["size", "double", "no batch"],
)
def test_other_inputs_are_refused_where_that_is_the_setting(inputs, named):
    compiled = sparse.compile(pruned(Segmentation), IMAGES, other_sizes="refuse", min_speedup=0)

    with pytest.raises(ValueError, match=named):
        compiled(inputs)


class FixedBatch(nn.Module):
    """Can only be exported for the batch size of its example."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, images):
        if images.shape[0] == 4:
            return self.conv(images).relu().sigmoid()
        return self.conv(images).sigmoid()


def test_a_module_for_fixed_batch_sizes_is_compiled_for_each():
    network = pruned(FixedBatch)
    compiled = sparse.compile(network, torch.randn(3, *SIZE), min_speedup=0)

    for count in (3, 4, 1, 0):
        images = torch.randn(count, *SIZE)
        torch.testing.assert_close(compiled(images), network(images))
    assert "region_1" in str(compiled)


def test_a_region_that_is_not_faster_stays_in_torch():
    network = pruned(SqueezeExcite)

    compiled = sparse.compile(network, IMAGES, min_speedup=1e9)

    assert str(compiled).startswith("0 regions run in the sparse runtime: 0.0% of")
    assert torch.equal(compiled(*IMAGES)["maps"], network(*IMAGES)["maps"])


class FasterAsItIs(nn.Module):
    """Its export takes a long way round, as that of modules with fused operations does."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, images):
        result = self.conv(images)
        if torch.compiler.is_exporting():
            for _ in range(200):
                result = result.flip(3)
        return result


def test_a_module_that_is_faster_as_it_is_runs_as_it_is():
    network = FasterAsItIs()
    prune.l1_unstructured(network.conv, "weight", amount=0.5)
    images = torch.randn(2, *SIZE)
    expected = network(images).detach()

    compiled = sparse.compile(network, images)
    with torch.no_grad():
        network.conv.weight_orig.zero_()

    assert str(compiled).startswith("0 regions run in the sparse runtime")
    assert str(compiled).endswith("the module runs as it is: compiled, it would not be faster")
    assert compiled.explain() == str(compiled)
    assert compiled.left_in_torch.count("flip") == 200
    assert network.training
    # The weights are those at the time of the compilation.
    result = copy.deepcopy(compiled)(images)
    torch.testing.assert_close(result, expected)
    assert not result.requires_grad


def test_a_region_without_any_weight_left_stays_in_torch():
    network = pruned(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Tanh(), nn.Conv2d(4, 4, 3)))
    prune.l1_unstructured(network[0], "weight", amount=1.0)

    compiled = sparse.compile(network, IMAGES, min_speedup=0)

    assert [line.split()[1] for line in str(compiled).splitlines()[2:]] == ["torch", "region_1"]
    torch.testing.assert_close(compiled(*IMAGES), network(*IMAGES))


def test_the_table_says_what_runs_where():
    title, head, *lines = (
        sparse.compile(pruned(SqueezeExcite), IMAGES, min_speedup=0).explain().splitlines()
    )

    assert title.startswith("2 regions run in the sparse runtime: 100.0% of")
    columns = ["layer", "runs in", "nonzero", "dense weights", "dense M MACs", "M MACs left"]
    assert re.split("  +", head.strip()) == [*columns, "time"]
    assert [line.split()[0] for line in lines] == [
        *("stem.0", "body.0", "squeeze", "excite", "head", "region_1", "region_2")
    ]
    assert [line.split()[2] for line in lines[:5]] == ["19.9%", "20.0%", "18.8%", "18.8%", "20.0%"]
    assert [line.endswith("%") for line in lines] == [False] * 5 + [True] * 2
    assert 0 < sum(float(line.split()[6].rstrip("%")) for line in lines[5:]) <= 100.2


def test_the_table_says_how_many_multiplications_are_left_and_how_much_faster_a_region_was():
    network = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 100, 1))
    for layer in (network[0], network[2]):
        prune.l1_unstructured(layer, "weight", amount=0.75)

    compiled = sparse.compile(network, torch.randn(1, 3, 100, 100), min_speedup=1e-9)
    title, head, *lines = str(compiled).splitlines()

    assert title.endswith("100.0% of the network's 81.3 M dense MACs, of which 20.3 M are left")
    assert head.endswith("speed-up over torch")
    assert [line.split()[3:6] for line in lines] == [
        ["1,728", "17.3", "4.3"],
        ["6,400", "64.0", "16.0"],
        ["8,128", "81.3", "20.3"],
    ]
    assert re.fullmatch(r"  region_1 .* [0-9.]+x", lines[2])


def test_it_cannot_be_trained():
    compiled = sparse.compile(pruned(weight_norm), IMAGES)

    with pytest.raises(ValueError, match="cannot be trained"):
        compiled.train()
    assert not compiled.eval().training


class Weights(nn.Module):
    """A region, and weights of every kind that stay in torch."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8)
        self.mixed, self.words = nn.Parameter(torch.randn(8, 8)), nn.Embedding(4, 8)
        self.register_buffer("shift", torch.randn(8, 1, 1))

    def forward(self, images):
        maps = torch.einsum("nchw,oc->nohw", self.norm(self.conv(images)), self.mixed)
        return maps + self.shift + self.words.weight.t()[:, :1, None]


@pytest.mark.parametrize(
    "change",
    [
        lambda network: [tensor.data.add_(1) for tensor in network.state_dict().values()],
        lambda network: network.load_state_dict(Weights().state_dict()),
        lambda network: network.double(),
    ],
    ids=["in place", "loaded", "double"],
)
def test_the_weights_are_those_of_the_compilation(change):
    network = Weights().eval()
    images = torch.randn(2, *SIZE)
    expected = network(images).detach()
    compiled = sparse.compile(network, images, min_speedup=0)

    change(network)

    torch.testing.assert_close(compiled(images), expected, rtol=1e-4, atol=1e-5)
    assert "region_1" in str(compiled)


def test_it_computes_in_float32_under_autocast():
    network = Weights().eval()
    compiled = sparse.compile(network, torch.randn(2, *SIZE), min_speedup=0)
    images, larger = torch.randn(3, *SIZE), torch.randn(3, 3, 13, 14)
    expected, of_larger = (network(inputs).detach() for inputs in (images, larger))

    with torch.autocast("cpu", dtype=torch.bfloat16):
        again = sparse.compile(network, images, min_speedup=0)
        assert "region_1" in again.explain()
        for result in (compiled(images), again(images)):
            torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(compiled(larger), of_larger, rtol=1e-4, atol=1e-5)

    torch.testing.assert_close(compiled(larger), of_larger, rtol=1e-4, atol=1e-5)


def test_it_is_copied_after_a_call_of_a_module_whose_masks_are_still_on_it():
    network, images = pruned(weight_norm), torch.randn(2, *SIZE)
    prune.l1_unstructured(network[2], "bias", amount=0.5)
    compiled = sparse.compile(network, IMAGES, min_speedup=0)
    network(images).sum().backward()

    duplicate = copy.deepcopy(compiled)
    for parameter in network.parameters():
        parameter.data.zero_()

    assert torch.equal(duplicate(images), compiled(images))
    # Its copy of the module is compiled for another size, with the weights of the copy.
    assert duplicate(torch.randn(1, 3, 9, 9)).any()
