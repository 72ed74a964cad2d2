"""A compiled network is pruned and trained like any other, under the same names."""

import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

from lightprune.models.model import Model
from lightprune.pruning.pruner import Pruner
from lightprune.training.fit import PhaseRun, fit
from tests.training.small import OnStep, phase, plan, small_setup

COURSE = plan((1, 0.5), (2, 0.9), epochs=3)
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        not any(map(shutil.which, ("g++", "clang++"))),
        reason="torch.compile needs a C++ compiler on a CPU",
    ),
]


def small(num_classes=4):
    """Little to compile: a layer with few outputs, and one on a map smaller than its kernel."""
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=4, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3, stride=2, padding=1),
        nn.Flatten(),
        nn.Linear(8, num_classes),
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same training compiled and not, and the graphs that were compiled meanwhile."""
    torch._dynamo.reset()
    ends = {}
    for compiled in (True, False):
        moved = []

        def look(trainer, classifier, moved=moved):
            pruning = next(c for c in trainer.callbacks if hasattr(c, "masks"))
            moved += pruning.masks.violations(dict(classifier.network.named_parameters())).items()

        setup = replace(small_setup(OnStep(look)), model=Model(small, compile=compiled))
        folder = tmp_path_factory.mktemp(f"compiled-{compiled}")
        before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        trained = fit(
            setup,
            setup.new_network(),
            PhaseRun("finetune", phase(3, peak=0.05), COURSE, pruner=Pruner()),
            folder,
        )
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"] - before
        ends[compiled] = (trained, moved, graphs)
    torch._dynamo.reset()
    return ends


def test_only_what_is_to_be_compiled_is(runs):
    assert runs[True][2] > 0
    assert runs[False][2] == 0


def test_pruned_weights_of_a_compiled_network_stay_zero(runs):
    trained, moved, _ = runs[True]
    weights = [weight for weight in trained.state.values() if weight.dim() == 4]

    assert moved == []
    assert sum(int((w == 0).sum()) for w in weights) == round(0.9 * sum(w.numel() for w in weights))


def test_a_compiled_network_keeps_its_names(runs):
    plain = small()

    plain.load_state_dict(runs[True][0].state)

    assert list(runs[True][0].state) == list(plain.state_dict())


def test_a_compiled_training_ends_like_a_plain_one(runs):
    compiled, plain = runs[True][0], runs[False][0]

    assert [r.digest for r in compiled.records] == [r.digest for r in plain.records]
    for name, value in plain.state.items():
        torch.testing.assert_close(compiled.state[name], value, rtol=1e-3, atol=1e-4)
