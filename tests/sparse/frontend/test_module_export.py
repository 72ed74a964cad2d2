"""`sparse.compile` of modules whose batch size, memory layout or constants are unusual."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lightprune import sparse
from lightprune.errors import InputError

SIZE = (3, 8, 8)


class ByBatch(nn.Module):
    """A convolution of images, and any function of its result."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)
        self.function = function

    def forward(self, images):
        return self.function(self, images)


def centred(module, images):
    maps = module.first(images)
    return maps - maps.mean(0, keepdim=True) if images.shape[0] > 1 else maps


# By what they do for one image, or none, in another way than for several.
BY_BATCH = {
    "one": lambda m, x: m.first(x) if x.shape[0] == 1 else m.second(x),
    "more than one": centred,
    "up to two": lambda m, x: m.first(x) if x.shape[0] <= 2 else m.second(x),
    "squeezed": lambda m, x: m.first(x).mean((2, 3)).squeeze(),
    "none": lambda m, x: m.first(x) if x.shape[0] else x.new_ones(0, 2),
    "named": lambda m, x: {
        "maps": m.first(x),
        "mean": (m.second(x) if x.shape[0] > 1 else x).mean(),
    },
}


@pytest.mark.parametrize("example", [torch.randn(1, *SIZE), torch.zeros(4, *SIZE)], ids=len)
@pytest.mark.parametrize("name", BY_BATCH)
def test_one_image_and_none_take_the_branches_that_they_take_in_torch(name, example):
    network = ByBatch(BY_BATCH[name]).eval()

    compiled = sparse.compile(network, example, min_speedup=0)

    assert "region_1" in str(compiled)
    for count in (4, 1, 0, 3):
        images = torch.randn(count, *SIZE)
        with torch.no_grad():
            torch.testing.assert_close(compiled(images), network(images), equal_nan=True)


def test_what_is_drawn_at_random_is_no_branch():
    network = ByBatch(lambda m, x: F.dropout(m.first(x), 0.5, training=True)).eval()
    compiled = sparse.compile(network, torch.randn(4, *SIZE), min_speedup=0, other_sizes="refuse")

    assert compiled(torch.randn(1, *SIZE)).shape == (1, 8, 6, 6)


def test_a_bias_less_network_is_told_from_its_branch_by_an_example_of_zeros():
    network = ByBatch(BY_BATCH["one"]).eval()
    network.first.bias = network.second.bias = None
    image = torch.randn(1, *SIZE)

    compiled = sparse.compile(network, torch.zeros(1, *SIZE), min_speedup=0)

    torch.testing.assert_close(compiled(image), network(image).detach())


class Video(nn.Module):
    """Clips of four frames each, which are images of the batch."""

    def __init__(self):
        super().__init__()
        self.frame, self.clip = nn.Conv2d(3, 8, 3), nn.Linear(32, 5)

    def forward(self, images):
        return self.clip(self.frame(images).mean((2, 3)).view(-1, 4, 8).flatten(1))


class ClassToken(nn.Module):
    """Its token is repeated for no batch: there is one image."""

    def __init__(self):
        super().__init__()
        self.token, self.head = nn.Parameter(torch.randn(1, 1, 8)), nn.Linear(8, 5)

    def forward(self, tokens):
        return self.head(torch.cat([self.token, tokens], 1))


class Recurrent(nn.Module):
    """The first dimension of its state is of layers."""

    def __init__(self):
        super().__init__()
        self.recurrent, self.head = nn.GRU(8, 8, batch_first=True), nn.Linear(8, 4)

    def forward(self, inputs, state):
        outputs, state = self.recurrent(inputs, state)
        return self.head(outputs), state


# By what cannot be exported for a batch of two.
FIXED = {
    "video": (Video, (torch.randn(8, *SIZE),)),
    "class token": (ClassToken, (torch.randn(1, 6, 8),)),
    "recurrent": (Recurrent, (torch.randn(1, 5, 8), torch.zeros(1, 1, 8))),
}


@pytest.mark.parametrize("name", FIXED)
def test_a_module_that_no_other_batch_size_fits_is_compiled_for_that_of_its_example(name):
    build, example = FIXED[name]
    network = build().eval()

    compiled = sparse.compile(network, example, min_speedup=0)

    assert "region_1" in str(compiled)
    with torch.no_grad():
        torch.testing.assert_close(compiled(*example), network(*example), rtol=1e-4, atol=1e-5)


def test_a_module_that_cannot_be_exported_is_refused_with_the_sizes_of_the_example():
    with pytest.raises(InputError, match=r"^Linear cannot be exported on inputs of \(1, 6, 7\):"):
        sparse.compile(nn.Linear(8, 5), torch.randn(1, 6, 7))


class Detector(nn.Module):
    """Its head's maps become rows of one box each."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(16, 64, 3, padding=1), nn.LayerNorm(16)

    def forward(self, images):
        maps = self.conv(images).permute(0, 2, 3, 1)
        return self.norm(maps.reshape(maps.shape[0], -1, 16))


class Rows(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm, self.head = nn.LayerNorm(16 * 36), nn.Linear(16 * 36, 5)

    def forward(self, images):
        return self.head(self.norm((images / 255).flatten(1)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("module", [Detector, Rows])
def test_weights_and_images_may_be_channels_last(module, layout):
    network = module().eval().to(memory_format=layout)
    images = torch.randn(3, 16, 6, 6)

    compiled = sparse.compile(network, images[:2], min_speedup=0)

    with torch.no_grad():
        for inputs in (images, images.to(memory_format=torch.channels_last)):
            expected = network(inputs)
            torch.testing.assert_close(compiled(inputs), expected, rtol=1e-4, atol=1e-5)


class Anchors(nn.Module):
    """Results that no image changes: computed, stored, repeated for each image."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("anchors", torch.arange(4.0))

    def forward(self, images):
        scaled = self.anchors * 2
        repeated = scaled.view(1, 4).expand(images.shape[0], 4)
        return self.conv(images), scaled, self.anchors, repeated, scaled[:2]


@pytest.mark.parametrize("count", [1, 3])
def test_a_caller_may_change_results_that_are_the_same_for_all_images(count):
    network, images = Anchors().eval(), torch.randn(count, *SIZE)
    compiled = sparse.compile(network, torch.zeros(2, *SIZE), min_speedup=0)

    for result in compiled(images):
        result.mul_(10)

    torch.testing.assert_close(compiled(images), tuple(t.detach() for t in network(images)))


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(3, 8, 3)

    def forward(self, one, several):
        return self.first(one) + self.second(several)


def test_inputs_of_the_example_may_share_memory():
    network, images = Two(), torch.randn(4, *SIZE)

    compiled = sparse.compile(network, (images[:1], images), min_speedup=0)

    expected = network(images[1:2], images).detach()
    torch.testing.assert_close(compiled(images[1:2], images), expected)
