"""A SparseNetwork as a torch module: what it takes, gives, and lets be done with it."""

import copy
import io
import pickle

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from lightprune.sparse.ir.graph import INPUT
from tests.sparse.programs import (
    expected,
    images_for,
    network_of,
    residual_program,
)


def test_images_of_zeros_are_computed():
    program = residual_program()
    images = torch.zeros(5, *program.shapes[INPUT])

    assert torch.equal(network_of(program, 2)(images).double(), expected(program, images))


def test_no_images_have_no_outputs():
    network = network_of(residual_program())

    assert network(torch.zeros(0, 3, 9, 11)).shape == (0, 5)


@pytest.mark.parametrize(
    ("images", "named"),
    [
        (torch.zeros(2, 3, 9, 10), r"shape \(2, 3, 9, 10\): needs \(N, 3, 9, 11\)"),
        (torch.zeros(3, 9, 11), r"shape \(3, 9, 11\)"),
        (torch.zeros(2, 3, 9, 11, 1), r"shape \(2, 3, 9, 11, 1\)"),
        (torch.zeros(2, 3, 9, 11).double(), "float64"),
        (torch.zeros(2, 3, 9, 11, dtype=torch.uint8), "uint8"),
        (torch.zeros(2, 3, 9, 11, device="meta"), "meta"),
        (torch.zeros(2, 3, 9, 11).to_sparse(), "sparse_coo"),
        (np.zeros((2, 3, 9, 11), np.float32), "ndarray"),
        (None, "NoneType"),
    ],
)
def test_other_images_are_refused_with_what_is_needed(images, named):
    with pytest.raises(ValueError, match=named):
        network_of(residual_program())(images)


@pytest.mark.parametrize(
    "laid",
    [
        lambda images: images.to(memory_format=torch.channels_last),
        lambda images: images.transpose(2, 3).contiguous().transpose(2, 3),
        lambda images: torch.cat([images, images], 3)[..., :11],
        lambda images: images.flip(0).flip(0),
        lambda images: torch._neg_view(-images),
        lambda images: images.clone().requires_grad_(),
        lambda images: nn.Parameter(images.clone()),
    ],
    ids=["channels last", "transposed", "cut", "flipped", "negated view", "gradient", "parameter"],
)
def test_images_may_lie_in_memory_in_any_way(laid):
    program = residual_program()
    network, images = network_of(program), images_for(program, 5)

    outputs = network(laid(images))

    assert torch.equal(outputs, network(images))
    assert not outputs.requires_grad


def test_images_are_left_as_they_are():
    program = residual_program()
    images = images_for(program, 20)
    before = images.clone()

    network_of(program, 2)(images)

    assert torch.equal(images, before)


@pytest.mark.parametrize("kind", [torch.float64, torch.float16])
def test_outputs_are_float32_on_the_cpu_whatever_torch_prefers(kind):
    program = residual_program()
    network, images = network_of(program), images_for(program, 5)
    expected = network(images)
    torch.set_default_dtype(kind)
    try:
        with torch.device("meta"):
            outputs = network(images)
    finally:
        torch.set_default_dtype(torch.float32)

    assert outputs.dtype == torch.float32
    assert torch.equal(outputs, expected)


def saved_and_loaded(network):
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n)), saved_and_loaded]
)
def test_a_copy_computes_the_same_after_the_network_is_gone(copied):
    program = residual_program()
    network, images = network_of(program, 2), images_for(program, 20)
    expected = network(images)

    other = copied(nn.Sequential(network))
    del network

    assert torch.equal(other(images), expected)
    assert other[0].threads == 2


def test_a_network_is_a_module_without_state():
    network = network_of(residual_program())
    images = images_for(network.program, 3)

    assert not network.training
    assert list(network.parameters()) == list(network.buffers()) == []
    assert network.state_dict() == {}
    network.load_state_dict({})
    with torch.inference_mode():
        inferred = network(images)
    with torch.no_grad():
        assert torch.equal(network.to("cpu").train()(images), inferred)


class Classifier(LightningModule):
    def __init__(self, network):
        super().__init__()
        self.network = network

    def test_step(self, batch):
        images, outputs = batch
        self.log("wrong", (self.network(images) != outputs).float().sum(), batch_size=len(images))


def test_lightning_tests_a_network(tmp_path):
    program = residual_program()
    network, images = network_of(program, 2), images_for(program, 20)
    data = DataLoader(list(zip(images, network(images), strict=True)), batch_size=8)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )

    assert trainer.test(Classifier(network), data, verbose=False) == [{"wrong": 0.0}]
