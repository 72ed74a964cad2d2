"""Weights that come back start from zero, and nothing remembers what they once were."""

from functools import partial
from itertools import product

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import EMAWeightAveraging

from lightprune.pruning.masks import Masks
from lightprune.pruning.optimizers.state import all_but_regrown
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.regrowth import Regrowth
from tests.training.small import MOMENTUM, copied, phase, plan, session

SAME = plan((0, 0.5), (1, 0.5), (2, 0.5), epochs=3)
GROWS = Pruner(regrowth=Regrowth(0.8, "random"))
OPTIMIZERS = {
    "nesterov": MOMENTUM,
    "adamw": partial(torch.optim.AdamW, amsgrad=True),
    "rmsprop": partial(torch.optim.RMSprop, momentum=0.9, centered=True),
}


class Watch(Callback):
    """Keeps weights, masks and optimizer state as they are right after every event."""

    def __init__(self):
        self.kept, self.weights, self.state = [], [], []

    def on_train_epoch_start(self, trainer, pl_module):
        (pruning,) = (c for c in trainer.callbacks if hasattr(c, "masks"))
        named, state = dict(pl_module.network.named_parameters()), trainer.optimizers[0].state
        self.kept.append(copied(pruning.masks))
        self.weights.append(copied({name: named[name] for name in pruning.masks}))
        self.state.append(
            {
                name: [v.clone() for v in state.get(named[name], {}).values() if v.dim()]
                for name in pruning.masks
            }
        )

    def back(self, event, name):
        """What an event brought back."""
        return self.kept[event][name] & ~self.kept[event - 1][name]


def test_what_comes_back_is_kept_now_and_was_not_before():
    before = Masks({"a": torch.tensor([1, 1, 0, 0]).bool()})
    after = Masks({"a": torch.tensor([1, 0, 1, 0]).bool()})

    assert all_but_regrown(before, after)["a"].tolist() == [True, True, False, True]


@pytest.mark.parametrize(
    ("optimizer", "policy"), [*product(OPTIMIZERS, ("mask", "keep")), ("adamw", "reset")]
)
def test_weights_that_come_back_are_zero_and_their_optimizer_state_is_clean(
    tmp_path, optimizer, policy
):
    watch = Watch()
    how = phase(3, OPTIMIZERS[optimizer], peak=0.005, optimizer_state=policy, l1=1e-3)
    made = session(tmp_path, SAME, watch, how=how, pruner=GROWS).fit()

    for event in (1, 2):
        for name, weight in watch.weights[event].items():
            back = watch.back(event, name)
            assert back.any()
            assert not weight[back].any()
            assert all(not entry[back].any() for entry in watch.state[event][name])
    assert made.pruning.masks.pruned == round(0.5 * made.total)
    grown = {name: watch.back(1, name) & made.pruning.masks[name] for name in made.weights}
    assert any(made.weights[name][back].any() for name, back in grown.items())


@pytest.mark.parametrize("policy", ["mask", "keep"])
def test_the_state_of_the_weights_that_stay_is_left(tmp_path, policy):
    watch = Watch()
    how = phase(3, optimizer_state=policy)
    session(tmp_path, SAME, watch, how=how, pruner=GROWS).fit()

    for name, entries in watch.state[1].items():
        stays = watch.kept[0][name] & watch.kept[1][name]
        assert all(bool((entry[stays] != 0).float().mean() > 0.5) for entry in entries)


def test_averages_take_weights_that_come_back_from_zero(tmp_path):
    averaging = EMAWeightAveraging(decay=0.9)
    made = session(tmp_path, SAME, averaging, pruner=GROWS).fit()

    assert made.pruning.masks.violations(made.weights) == {}
    assert made.pruning.masks.pruned == round(0.5 * made.total)
