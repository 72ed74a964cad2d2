import random

import numpy as np
import pytest
import torch
from lightning import Callback
from torch import nn

from lightprune.pruning.pruner import Pruner
from lightprune.training.fit import PhaseRun, fit
from tests.training.small import cnn, copied, phase, plan, small_setup


def test_reinitialised_weights_are_fresh_under_the_mask_of_the_trained_ones(tmp_path):
    seen = {}

    class Watch(Callback):
        def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
            if batch_idx == 0:
                seen[trainer.current_epoch] = copied(pl_module.network.state_dict())

    setup, records = small_setup(Watch()), {}
    for weights in ("keep", "reinitialise"):
        records[weights] = fit(
            setup,
            setup.new_network(),
            PhaseRun(
                "finetune", phase(3), plan((1, 0.5), epochs=3), pruner=Pruner(weights=weights)
            ),
            tmp_path / weights,
        ).records
    fresh = small_setup(seed=1).new_network().state_dict()

    assert records["keep"][0].digest == records["reinitialise"][0].digest
    for name, weight in seen[1].items():
        mask = weight != 0
        assert torch.equal(weight[mask], fresh[name][mask])
    assert sum(int((seen[1][n] == 0).sum()) for n in ("0.weight", "4.weight", "7.weight")) == (
        records["keep"][0].pruned
    )


class Drawing(nn.Module):
    """A layer whose constructor draws from every global generator."""

    def __init__(self):
        super().__init__()
        drawn = [random.random(), np.random.random(), float(torch.rand(()))]
        self.register_buffer("drawn", torch.tensor(drawn, dtype=torch.float64))

    def forward(self, x):
        return x


def drawing(num_classes=4):
    return cnn(num_classes).append(Drawing())


@pytest.mark.parametrize("policy", ["keep", "reinitialise"])
def test_an_event_leaves_every_global_generator_as_it_was(tmp_path, policy):
    drawn = {}

    class Draw(Callback):
        """Draws from the global generators before and after the event."""

        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            numbers = (random.random(), np.random.random())
            drawn.setdefault(trainer.current_epoch, []).append(numbers)

    def draws(name, *events):
        drawn.clear()
        bench = small_setup(Draw(), network=drawing)
        run = PhaseRun("finetune", phase(3), plan(*events, epochs=3), pruner=Pruner(weights=policy))
        fit(bench, bench.new_network(), run, tmp_path / name)
        return dict(drawn)

    assert draws("without") == draws("with", (1, 0.5))


def test_new_networks_depend_on_the_seed_alone_and_leave_the_generators():
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    networks = [small_setup(network=drawing, seed=seed).new_network() for seed in (3, 3, 4)]

    assert states == (
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
    )
    first, again, other = (network[-1].drawn for network in networks)
    assert torch.equal(first, again)
    assert (first != other).all()


def test_a_network_has_the_weights_that_seeding_everything_gives():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        expected = cnn().state_dict()
    state = small_setup(seed=5).new_network().state_dict()

    assert all(torch.equal(state[name], value) for name, value in expected.items())
