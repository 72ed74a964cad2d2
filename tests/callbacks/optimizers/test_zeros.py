"""Pruned weights, and the optimizer state of them, are zero after every step."""

import pytest
import torch
from lightning import Callback
from torch import nn

from lightprune.callbacks.pruning_callback import PruningCallback
from tests.callbacks.fits import OPTIMIZERS, Violations
from tests.training.small import (
    phase,
    plan,
    session,
)


@pytest.mark.parametrize("policy", ["mask", "reset", "keep"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_pruned_weights_are_exactly_zero_after_every_step(tmp_path, optimizer, policy):
    violations = Violations()
    how = phase(3, OPTIMIZERS[optimizer], optimizer_state=policy, l1=1e-3, decay_all=True)

    made = session(tmp_path, plan((0, 0.5), (1, 0.8), epochs=3), violations, how=how).fit()

    assert violations.steps == 9
    assert violations.seen == []
    assert made.zeros == round(0.8 * made.total)


@pytest.mark.parametrize("policy", ["mask", "reset", "keep"])
@pytest.mark.parametrize(
    "setting",
    [
        {"accumulate_grad_batches": 2},
        {"gradient_clip_val": 0.01},
        {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value"},
        {"precision": "bf16-mixed"},
    ],
    ids=str,
)
def test_pruned_weights_stay_zero_however_the_trainer_steps(tmp_path, setting, policy):
    violations = Violations()
    how = phase(3, optimizer_state=policy)
    course = plan((0, 0.5), (1, 0.9), epochs=3)

    made = session(tmp_path, course, violations, how=how, **setting).fit()

    assert violations.steps == 9
    assert violations.seen == []
    assert made.zeros == round(0.9 * made.total)


def test_the_norm_that_is_clipped_is_that_of_the_kept_weights(tmp_path):
    norms = []

    class Norms(Callback):
        def on_before_zero_grad(self, trainer, pl_module, optimizer):
            gradients = [p.grad for p in pl_module.parameters() if p.grad is not None]
            if gradients:
                norms.append(float(nn.utils.get_total_norm(gradients)))

    course = plan((0, 0.9), epochs=2)
    session(tmp_path, course, Norms(), gradient_clip_val=1e-3).fit()

    assert norms
    assert norms == pytest.approx([1e-3] * len(norms), rel=1e-2)


class StateAfterEvent(Callback):
    """Keeps the optimizer's state as it is right after an event."""

    def __init__(self, epoch):
        self.epoch, self.state, self.masks = epoch, None, None

    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == self.epoch:
            (pruning,) = (c for c in trainer.callbacks if isinstance(c, PruningCallback))
            named = dict(pl_module.network.named_parameters())
            state = trainer.optimizers[0].state
            self.state = {
                n: {key: torch.as_tensor(v).clone() for key, v in state.get(w, {}).items()}
                for n, w in named.items()
            }
            self.masks = {name: mask.clone() for name, mask in pruning.masks.items()}


@pytest.mark.parametrize("optimizer", ["nesterov", "adamw", "rmsprop"])
def test_mask_zeroes_the_optimizers_state_of_pruned_weights_and_no_other(tmp_path, optimizer):
    after, how = StateAfterEvent(1), phase(2, OPTIMIZERS[optimizer], peak=0.02)
    session(tmp_path, plan((0, 0.1), (1, 0.8), epochs=2), after, how=how).fit()

    assert all(after.state.values())
    for name, entries in after.state.items():
        moments = [e for e in entries.values() if e.dim()]
        assert moments
        if name in after.masks:
            kept = after.masks[name]
            assert all(not entry[~kept].any() for entry in moments)
        assert any(entry.any() for entry in moments)


def test_reset_forgets_the_whole_state_of_the_optimizer(tmp_path):
    after, how = StateAfterEvent(1), phase(2, optimizer_state="reset")
    session(tmp_path, plan((0, 0.1), (1, 0.9), epochs=2), after, how=how).fit()

    assert not any(after.state.values())


def test_keep_leaves_the_momentum_of_pruned_weights(tmp_path):
    after, how = StateAfterEvent(1), phase(2, optimizer_state="keep")
    session(tmp_path, plan((0, 0.1), (1, 0.9), epochs=2), after, how=how).fit()

    name = "4.weight"
    assert after.state[name]["momentum_buffer"][~after.masks[name]].any()
