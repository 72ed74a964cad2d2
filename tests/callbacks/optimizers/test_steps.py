"""Around the optimizer's step: fused kernels, clipping, accumulation, precision and layouts."""

import copy
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning import Callback
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, Adam, AdamW, RMSprop

from lightprune.callbacks.pruning_callback import PruningCallback
from lightprune.models.live_tap_conv import use_live_taps
from tests.training.small import cnn, phase, plan, session

COURSE = plan((0, 0.5), (1, 0.9), epochs=3)
OPTIMIZERS = {
    "sgd": partial(SGD, fused=True),
    "momentum": partial(SGD, momentum=0.9, weight_decay=0.01, fused=True),
    "dampened": partial(SGD, momentum=0.9, dampening=0.5, weight_decay=0.01),
    "nesterov": partial(SGD, momentum=0.9, nesterov=True, weight_decay=0.01, fused=True),
    "adam": partial(Adam, weight_decay=0.01, fused=True),
    "amsgrad": partial(Adam, weight_decay=0.01, amsgrad=True),
    "adamw": partial(AdamW, weight_decay=0.1, fused=True),
    "rmsprop": partial(RMSprop, momentum=0.9, centered=True, weight_decay=0.01),
}
ADAPTIVE = ("adam", "amsgrad", "adamw", "rmsprop")
ALL_AT_ONCE = {
    "accumulate_grad_batches": 2,
    "gradient_clip_val": 0.01,
    "precision": "bf16-mixed",
}
SETTINGS = [
    {},
    {"accumulate_grad_batches": 2, "gradient_clip_val": 0.01},
    ALL_AT_ONCE,
    {**ALL_AT_ONCE, "gradient_clip_algorithm": "value"},
    {"precision": "bf16-mixed"},
]


class Look(Callback):
    """After every batch: pruned weights that moved, gradients and momenta laid out otherwise."""

    def __init__(self):
        self.moved, self.strange, self.looks = [], set(), 0

    def on_before_zero_grad(self, trainer, pl_module, optimizer):
        for name, weight in pl_module.network.named_parameters():
            held = [weight.grad, *optimizer.state.get(weight, {}).values()]
            for tensor in held:
                if torch.is_tensor(tensor) and tensor.dim() == 4:
                    self.looks += 1
                    if tensor.stride() != weight.stride():
                        self.strange.add(name)

    def on_train_batch_end(self, trainer, pl_module, *_):
        (pruning,) = (c for c in trainer.callbacks if isinstance(c, PruningCallback))
        weights = dict(pl_module.network.named_parameters())
        self.moved += pruning.masks.violations(weights).items()


@pytest.mark.parametrize("setting", SETTINGS, ids=str)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_pruned_weights_stay_zero_and_gradients_keep_their_parameters_layout(
    tmp_path, optimizer, setting
):
    chosen, clipped = OPTIMIZERS[optimizer], "gradient_clip_val" in setting
    if clipped and "precision" in setting:  # Lightning refuses to clip fused optimizers there.
        chosen = partial(chosen, fused=False) if chosen.keywords.get("fused") else chosen
    look, how = Look(), phase(3, chosen, peak=0.01 if optimizer in ADAPTIVE else 0.2)

    made = session(tmp_path, COURSE, look, how=how, **setting).fit()

    assert look.moved == []
    assert look.strange == set()
    assert look.looks >= 9
    assert made.zeros == round(0.9 * made.total)


def pooled(num_classes=4):
    """For images of every size."""
    network = cnn(num_classes)
    network[9] = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    return network


def big_maps(num_classes=4):
    """Of the plain convolution's own path alone: no map is smaller than a kernel."""
    network = pooled(num_classes)
    network[4].stride = network[7].stride = (1, 1)
    return network


# torch's fused SGD on a CPU is wrong, without a word, where a gradient is laid out otherwise
# than its parameter; autograd keeps the layouts equal, and this holds it to that.
@pytest.mark.parametrize("network", [cnn, big_maps])
@pytest.mark.parametrize("setting", SETTINGS[:2], ids=str)
def test_fused_sgd_on_channels_last_weights_steps_like_the_plain_one(tmp_path, network, setting):
    weights = []
    for fused in (True, False):
        how = phase(3, partial(SGD, momentum=0.9, nesterov=True, weight_decay=0.01, fused=fused))
        made = session(tmp_path, COURSE, how=how, network=network, **setting).fit()
        weights.append(made.weights)

    fused, plain = weights
    assert fused["0.weight"].is_contiguous(memory_format=torch.channels_last)
    for name in plain:
        torch.testing.assert_close(fused[name], plain[name], rtol=1e-3, atol=1e-4)


@dataclass
class Ran:
    weights: dict
    strides: set


def stepped(network, images, *, fused, steps, **settings):
    """A few steps of SGD by hand on a copy of a network."""
    twin = copy.deepcopy(network)
    twin = twin.to(memory_format=torch.channels_last)
    optimizer, strides = SGD(twin.parameters(), lr=0.1, fused=fused, **settings), set()
    for _ in range(steps):
        optimizer.zero_grad()
        twin(images).square().mean().backward()
        strides |= {p.grad.stride() == p.stride() for p in twin.parameters()}
        optimizer.step()
    return Ran({n: p.detach() for n, p in twin.named_parameters()}, strides)


@given(
    seed=st.integers(0, 2**31),
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    nesterov=st.booleans(),
    weight_decay=st.sampled_from([0.0, 0.01]),
    size=st.sampled_from([8, 9, 12]),
    steps=st.integers(1, 3),
)
def test_fused_sgd_equals_plain_sgd_whatever_its_settings(
    seed, momentum, nesterov, weight_decay, size, steps
):
    torch.manual_seed(seed)
    network, images = pooled(), torch.randn(4, 3, size, size)
    settings = {
        "momentum": momentum,
        "nesterov": nesterov and momentum > 0,
        "weight_decay": weight_decay,
        "steps": steps,
    }

    fused, plain = (stepped(network, images, fused=f, **settings) for f in (True, False))

    assert fused.strides == plain.strides == {True}
    for name, weight in plain.weights.items():
        torch.testing.assert_close(fused.weights[name], weight)


@pytest.fixture
def _one_process_of_a_group(tmp_path):
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'meeting'}", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


@pytest.mark.usefixtures("_one_process_of_a_group")
@pytest.mark.parametrize("views", [False, True])
def test_gradients_keep_their_parameters_layout_under_ddp_too(views):
    network = use_live_taps(cnn().to(memory_format=torch.channels_last))
    together = DistributedDataParallel(network, gradient_as_bucket_view=views)

    for _ in range(2):
        together(torch.randn(4, 3, 8, 8)).square().mean().backward()

    assert all(p.grad.stride() == p.stride() for p in network.parameters())
