"""What `sparse.compile` and its result take, and how they refuse in one line what they do not."""

import copy
import pickle
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import pytest
import torch
from torch import nn

from lightprune import sparse
from lightprune.errors import InputError
from lightprune.sparse.runtime import compiled_module

SIZE = (3, 12, 10)
IMAGES = torch.randn(2, *SIZE, generator=torch.Generator().manual_seed(0))


class Branches(nn.Module):
    def forward(self, images):
        return images if images.sum() > 0 else -images


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, images):
        self.calls += 1
        return images * self.calls


class LearnsInForward(nn.Module):
    """Puts its batch norm in training mode whatever its own mode is."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images):
        return self.norm.train()(images)


def conv():
    torch.manual_seed(0)
    return nn.Conv2d(3, 4, 3)


def with_value(value):
    network = conv()
    network.weight.data[0, 0, 0, 0] = value
    return network


@cache
def compiled():
    return sparse.compile(conv(), IMAGES[:1], min_speedup=0)


# By what is given: module, example, settings, and how the line begins.
REFUSED = {
    "branches": (Branches, IMAGES, {}, "Branches cannot be exported on inputs of"),
    "changed buffer": (Counting, IMAGES, {}, "Counting: its forward changes the buffer calls in"),
    "changed input": (lambda: nn.ReLU(inplace=True), IMAGES, {}, "ReLU: its forward changes the"),
    "training in forward": (
        *(LearnsInForward, IMAGES, {}),
        "LearnsInForward: its forward changes the buffer norm.running_mean in place",
    ),
    "float64": (lambda: conv().double(), IMAGES, {}, "module: weight: float64 on cpu: allowed is"),
    "bfloat16": (lambda: conv().bfloat16(), IMAGES, {}, "module: weight: bfloat16 on cpu: allowed"),
    "module elsewhere": (lambda: conv().to("meta"), IMAGES, {}, "module: weight: float32 on meta:"),
    "lazy": (lambda: nn.LazyConv2d(4, 3), IMAGES, {}, "module: weight has no shape yet: allowed"),
    "NaN": (lambda: with_value(float("nan")), IMAGES, {}, "module: weight holds NaN: allowed are"),
    "name": (lambda: "resnet18", IMAGES, {}, "module: str: allowed is a torch.nn.Module"),
    "class": (lambda: nn.Conv2d, IMAGES, {}, "module: type: allowed is a torch.nn.Module"),
    "compiled": (compiled, IMAGES, {}, "module: CompiledModule is compiled already: allowed is"),
    "part": (lambda: nn.Sequential(compiled()), IMAGES, {}, "module: 0 is compiled already"),
    "half": (conv, IMAGES.half(), {}, "example: float16 on cpu: allowed is float32"),
    "integers": (conv, IMAGES.long(), {}, "Conv2d cannot be exported on inputs of (2, 3, 12, 10):"),
    "elsewhere": (conv, IMAGES.to("meta"), {}, "example: float32 on meta: allowed is"),
    "sparse": (conv, IMAGES.to_sparse(), {}, "example: sparse_coo float32 on cpu: allowed is"),
    "list": (conv, ([1, 2],), {}, "example: list: allowed are tensors"),
    "shape": (conv, (1, *SIZE), {}, "example: int: allowed are tensors"),
    "number": (conv, 5, {}, "example: int: allowed is a tensor or a tuple of tensors"),
    "mapping": (conv, {"input": IMAGES}, {}, "example: dict: allowed is a tensor or a tuple of"),
    "generator": (conv, iter([IMAGES]), {}, "example: list_iterator: allowed is a tensor or a"),
    "empty": (conv, IMAGES[:0], {}, "example: of shape (0, 3, 12, 10): allowed is"),
    "none": (conv, (), {}, "Conv2d cannot be exported on inputs of : missing a required argument"),
    "channels": (conv, IMAGES[:, :2], {}, "Conv2d cannot be exported on inputs of (2, 2, 12, 10):"),
    "sizes": (conv, IMAGES, {"other_sizes": "pad"}, "other_sizes=pad: allowed are"),
    "threads": (conv, IMAGES, {"threads": 0}, "threads=0: allowed is an integer at least 1"),
    "speedup": (conv, IMAGES, {"min_speedup": -1}, "min_speedup=-1: allowed is a number"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_compiled_is_refused_in_one_line(name):
    module, example, settings, line = REFUSED[name]

    with pytest.raises(InputError) as refused:
        sparse.compile(module(), example, **settings)

    assert str(refused.value).startswith(line)
    assert len(str(refused.value).splitlines()) == 1


def test_a_refused_module_is_as_it_was():
    counting = Counting()

    with pytest.raises(InputError, match="changes the buffer calls in place"):
        sparse.compile(counting, IMAGES)

    assert counting.calls == 0


EXPECTED = ": compiled for float32 (1, 3, 12, 10) on cpu"
# By what is called with: the inputs, and the line.
UNFIT = {
    "float64": ((IMAGES.double(),), f"inputs are float64 (2, 3, 12, 10) on cpu{EXPECTED}"),
    "half": ((IMAGES.half(),), f"inputs are float16 (2, 3, 12, 10) on cpu{EXPECTED}"),
    "integers": ((IMAGES.long(),), f"inputs are int64 (2, 3, 12, 10) on cpu{EXPECTED}"),
    "elsewhere": ((IMAGES.to("meta"),), f"inputs are float32 (2, 3, 12, 10) on meta{EXPECTED}"),
    "no batch": ((IMAGES[0],), f"inputs are float32 (3, 12, 10) on cpu{EXPECTED}"),
    "array": ((IMAGES.numpy(),), f"inputs are ndarray{EXPECTED}"),
    "list": (([IMAGES],), f"inputs are list{EXPECTED}"),
    "nothing": ((), f"inputs are missing{EXPECTED}"),
    "too many": (
        (IMAGES, None),
        f"inputs are float32 (2, 3, 12, 10) on cpu, NoneType{EXPECTED}",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_unfit_inputs_are_refused_in_one_line(name):
    inputs, line = UNFIT[name]

    with pytest.raises(ValueError, match=f"^{re.escape(line)}$"):
        compiled()(*inputs)


def test_inputs_that_the_module_refuses_are_named():
    with pytest.raises(InputError, match=r"^Conv2d cannot be exported on inputs of \(2, 3, 1, 1\)"):
        compiled()(torch.zeros(2, 3, 1, 1))


class Subclass(torch.Tensor):
    pass


@pytest.mark.parametrize(
    "images",
    [
        IMAGES.transpose(2, 3).contiguous().transpose(2, 3),
        IMAGES.to(memory_format=torch.channels_last),
        IMAGES[:1].expand(5, -1, -1, -1),
        IMAGES.clone().requires_grad_(),
        nn.Parameter(IMAGES),
        IMAGES.as_subclass(Subclass),
        IMAGES[:0],
    ],
    ids=["strided", "channels_last", "expanded", "grad", "parameter", "subclass", "empty"],
)
@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
def test_any_float32_images_on_the_cpu_are_taken(images, mode):
    with mode():
        outputs = compiled()(images)

    assert not outputs.requires_grad
    torch.testing.assert_close(torch.Tensor(outputs), conv()(torch.Tensor(images.detach())).data)


def in_training():
    return nn.Sequential(conv(), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()


def hooked():
    network = nn.Sequential(conv(), nn.ReLU())
    network[0].register_forward_hook(lambda _module, _inputs, output: output * 2)
    network[1].register_forward_pre_hook(lambda _module, inputs: (inputs[0] + 1,))
    return network


def tied():
    first, second = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second)


class AnyInputs(nn.Module):
    """Declares its inputs as *inputs, as wrappers do."""

    def __init__(self):
        super().__init__()
        self.inner = conv()

    def forward(self, *inputs):
        return self.inner(*inputs)


@pytest.mark.parametrize(
    "build", [in_training, hooked, tied, AnyInputs, lambda: with_value(float("inf"))]
)
def test_unusual_modules_compute_what_they_do_in_evaluation_mode(build):
    module = build()
    mode = module.training

    outputs = sparse.compile(module, IMAGES[:1], min_speedup=0)(IMAGES)

    assert module.training == mode
    torch.testing.assert_close(outputs, module.eval()(IMAGES).data, equal_nan=True)


def test_a_module_that_cannot_be_copied_is_compiled_where_that_is_not_faster():
    module = conv()
    module.lock = threading.Lock()

    outputs = sparse.compile(module, IMAGES, min_speedup=1e9)(IMAGES)

    torch.testing.assert_close(outputs, module(IMAGES).data)


def test_a_region_takes_no_name_of_the_modules():
    module = nn.Sequential()
    module.conv, module.region_1 = conv(), nn.GroupNorm(2, 4)

    compiled = sparse.compile(module, IMAGES, min_speedup=0)

    assert [layer.region for layer in compiled.layers] == ["region_2"]
    torch.testing.assert_close(compiled(IMAGES), module(IMAGES).data)


def test_it_is_copied_but_neither_pickled_nor_converted():
    duplicate = copy.deepcopy(compiled())

    assert torch.equal(duplicate(IMAGES), compiled()(IMAGES))
    with pytest.raises(TypeError, match="cannot be pickled; pickle the one it was made from"):
        pickle.dumps(compiled())
    with pytest.raises(ValueError, match=r"in float32 on the CPU: not in float16 on cpu$"):
        compiled().half()
    assert compiled().to("cpu").float() is compiled()


def test_several_threads_may_call_it_with_new_sizes_of_which_few_stay_compiled(monkeypatch):
    monkeypatch.setattr(compiled_module, "_MOST_SIZES", 3)
    network = sparse.compile(conv(), IMAGES[:1], min_speedup=0)
    batches = [torch.randn(n, 3, 4 + n, 5) for n in (1, 2)] + [IMAGES]
    with torch.no_grad():
        expected = [conv()(images) for images in batches]
    start = threading.Barrier(4)

    def calls(first):
        start.wait()
        return [network(batches[(first + n) % 3]) for n in range(3)]

    with ThreadPoolExecutor(4) as pool:
        for first, outputs in enumerate(pool.map(calls, range(4))):
            for n, output in enumerate(outputs):
                torch.testing.assert_close(output, expected[(first + n) % 3])
    network(torch.randn(1, 3, 9, 9))
    assert len(network._any_batch) == 3
