"""Scores accumulate over the gradients of every step, are saved, and start anew on return."""

from dataclasses import dataclass

import torch
from lightning import Callback

from lightprune.pruning.criteria import Criterion, Magnitude, Movement
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.regrowth import Regrowth
from lightprune.pruning.targets import Targets
from tests.training.small import OnEpoch, copied, equal, plan, session


@dataclass(frozen=True)
class Sum(Criterion):
    """Sums gradients as they are."""

    needs = ("accumulated",)

    def update_(self, state, weight, gradient):
        state += gradient

    def scores(self, weights, context):
        return {name: context.accumulated[name].abs() for name in weights}


class GradientSums(Callback):
    """Sums the gradients of every backward pass."""

    def __init__(self):
        self.sums = {}

    def on_after_backward(self, trainer, pl_module):
        for name, weight in Targets().find(pl_module.network).items():
            self.sums[name] = self.sums.get(name, 0) + weight.grad


def accumulated(made):
    return made.pruning.state_dict()["accumulated"]


def test_every_step_before_the_last_event_adds_the_gradients_of_all_weights(tmp_path):
    gradients, sums = GradientSums(), {}

    def note(trainer, classifier):
        if trainer.current_epoch == 1:
            sums.update(copied(gradients.sums))

    course = plan((1, 0.5), (2, 0.8), epochs=3)
    made = session(tmp_path, course, gradients, OnEpoch(note), pruner=Pruner(Sum())).fit()

    assert equal(accumulated(made), sums)
    assert all(value.dtype == torch.float32 for value in accumulated(made).values())


def test_accumulated_batches_are_one_step(tmp_path):
    @dataclass(frozen=True)
    class Count(Sum):
        def update_(self, state, weight, gradient):
            state += 1

        def scores(self, weights, context):
            return {name: weight.abs() for name, weight in weights.items()}

    course = plan((1, 0.5), epochs=2)
    made = session(tmp_path, course, pruner=Pruner(Count()), accumulate_grad_batches=3).fit()

    assert all(bool((value == 1).all()) for value in accumulated(made).values())


def test_a_weight_that_comes_back_starts_from_zero(tmp_path):
    masks, seen = {}, []

    class Watch(Callback):
        def on_train_epoch_start(self, trainer, pl_module):
            (pruning,) = (c for c in trainer.callbacks if hasattr(c, "masks"))
            masks[trainer.current_epoch] = copied(pruning.masks)
            if trainer.current_epoch == 2:
                seen.append(copied(pruning.state_dict()["accumulated"]))

    pruner = Pruner(Sum(), regrowth=Regrowth(0.8, "random"))
    session(tmp_path, plan((1, 0.5), (2, 0.5), (3, 0.5)), Watch(), pruner=pruner).fit()

    for name, state in seen[0].items():
        back = masks[2][name] & ~masks[1][name]
        assert back.any()
        assert not state[back].any()
        assert state[~back].any()


def test_movement_ranks_by_where_training_took_the_weights(tmp_path):
    class Pushed(Callback):
        def on_after_backward(self, trainer, pl_module):
            for name, weight in Targets().find(pl_module.network).items():
                pushed[name] = pushed.get(name, 0) - weight.detach() * weight.grad

    pushed = {}
    course = plan((1, 0.5), epochs=2)
    made = session(tmp_path, course, Pushed(), pruner=Pruner(Movement()), max_epochs=1).fit()

    for name, value in accumulated(made).items():
        torch.testing.assert_close(value, pushed[name])


def test_other_criteria_keep_none(tmp_path):
    made = session(tmp_path, plan((0, 0.5), epochs=1), pruner=Pruner(Magnitude())).fit()

    assert "accumulated" not in made.pruning.state_dict()
