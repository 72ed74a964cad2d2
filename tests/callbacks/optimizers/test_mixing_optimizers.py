"""Optimizers that mix a tensor's entries move weights without a gradient; zeros hold anyway."""

from functools import partial

import pytest
import torch
from torch import nn

from lightprune.pruning.pruner import Pruner
from lightprune.pruning.regrowth import Regrowth
from lightprune.pruning.targets import Targets
from tests.callbacks.fits import Violations
from tests.training.small import OnStep, phase, plan, session


class Whitening(torch.optim.Optimizer):
    """Steps along the orthogonal factor of the momentum, as Muon does, for tensors of any shape."""

    def __init__(self, params, lr=0.02, momentum=0.9, weight_decay=0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                momentum = state["momentum"].mul_(group["momentum"]).add_(weight.grad)
                weight.mul_(1 - group["lr"] * group["weight_decay"])
                weight.sub_(self.direction(momentum, state), alpha=group["lr"])
        return loss

    def direction(self, momentum, state):
        if momentum.dim() < 2:
            return momentum
        u, _, v = torch.linalg.svd(momentum.flatten(1), full_matrices=False)
        return (u @ v).view_as(momentum)


class Eigenbasis(Whitening):
    """Steps by Adam in the eigenbasis of the gradient's covariance, as SOAP does."""

    def direction(self, momentum, state):
        matrix = momentum.reshape(len(momentum), -1)
        _, basis = torch.linalg.eigh(matrix @ matrix.T)
        rotated = basis.T @ matrix
        square = state.setdefault("square", torch.zeros_like(momentum)).reshape(matrix.shape)
        state["square"] = square.lerp(rotated**2, 0.1).view_as(momentum)
        denominator = state["square"].view_as(matrix).sqrt() + 1e-3
        return (basis @ (rotated / denominator)).view_as(momentum)


def perceptron(num_classes=4):
    """Matrices alone: all that Muon takes."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(192, 16, bias=False),
        nn.ReLU(),
        nn.Linear(16, num_classes, bias=False),
    )


EVENTS = plan((0, 0.5), (1, 0.8), epochs=3)
MIXING = {"whitening": Whitening, "eigenbasis": Eigenbasis}


@pytest.mark.parametrize("policy", ["mask", "reset", "keep"])
@pytest.mark.parametrize("optimizer", MIXING)
def test_pruned_weights_stay_zero_under_optimizers_that_mix_entries(tmp_path, optimizer, policy):
    violations, groups = Violations(), []
    watch = OnStep(lambda trainer, module: groups.append(len(trainer.optimizers[0].param_groups)))
    how = phase(3, MIXING[optimizer], peak=0.02, optimizer_state=policy)

    made = session(tmp_path, EVENTS, violations, watch, how=how).fit()

    assert violations.steps == 9
    assert violations.seen == []
    assert made.zeros == round(0.8 * made.total)
    assert set(groups) == {2}


@pytest.mark.parametrize(
    "setting",
    [{"accumulate_grad_batches": 2}, {"precision": "bf16-mixed"}, {"gradient_clip_val": 0.01}],
    ids=str,
)
def test_pruned_weights_stay_zero_however_the_trainer_steps_a_mixing_optimizer(tmp_path, setting):
    violations, how = Violations(), phase(3, Whitening, peak=0.02)

    made = session(tmp_path, EVENTS, violations, how=how, **setting).fit()

    assert violations.seen == []
    assert made.zeros == round(0.8 * made.total)


@pytest.mark.parametrize("policy", ["mask", "keep"])
def test_pruned_weights_stay_zero_under_muon(tmp_path, policy):
    violations, targets = Violations(), Targets(types=("Linear",))
    muon = partial(torch.optim.Muon, weight_decay=0.1)
    how = phase(3, muon, peak=0.02, optimizer_state=policy)

    made = session(tmp_path, EVENTS, violations, network=perceptron, how=how, targets=targets).fit()

    assert violations.steps == 9
    assert violations.seen == []
    assert made.pruning.masks.pruned == round(0.8 * made.pruning.masks.total)


def test_a_mixing_optimizer_moves_weights_that_came_back(tmp_path):
    violations, grows = Violations(), Pruner(regrowth=Regrowth(0.8, "random"))
    course, how = plan((0, 0.5), (1, 0.5), epochs=3), phase(3, Whitening, peak=0.02)

    made = session(tmp_path, course, violations, how=how, pruner=grows).fit()

    assert violations.seen == []
    assert made.pruning.masks.pruned == round(0.5 * made.total)
