"""Zeros that come with `dense.checkpoint` are counted, in the plan and in every epoch's row."""

import pytest
import torch

from lightprune.pruning.pruner import Pruner
from lightprune.pruning.targets import Targets
from lightprune.training.fit import PhaseRun, fit
from tests.experiment.test_console import shown
from tests.system.tiny import tiny_resnet
from tests.training.small import phase, plan, small_setup


def with_zeros(network, share):
    """Sets the first weights of every prunable tensor to zero; returns their number."""
    zeros = 0
    for weight in Targets().find(network).values():
        count = int(share * weight.numel())
        weight.data.mul_(torch.arange(weight.numel()).reshape(weight.shape) >= count)
        zeros += count
    return zeros


@pytest.mark.parametrize(
    ("overrides", "ends"),
    [
        (
            ("schedule=one_shot", "schedule.sparsity=0.5"),
            "the first event, if it ranks by magnitude, holds {held:,} of them; up to {free:,} "
            "train to other values",
        ),
        (
            ("schedule=one_shot", "schedule.sparsity=0.99"),
            "the first event, if it ranks by magnitude, holds all of them",
        ),
        (
            ("pruner=none",),
            "no event holds them; up to {given:,} train to other values",
        ),
    ],
)
def test_the_plan_counts_given_zeros_and_says_which_are_held(capsys, tmp_path, overrides, ends):
    network = tiny_resnet(10)
    given, total = with_zeros(network, 0.9), sum(map(torch.numel, Targets().find(network).values()))
    torch.save(network.state_dict(), tmp_path / "sparse.pt")
    lines = shown(capsys, tmp_path, f"dense.checkpoint={tmp_path / 'sparse.pt'}", *overrides)

    held = round(0.5 * total)
    end = ends.format(held=held, free=given - held, given=given)
    assert f"{given:,} prunable weights ({given / total:.2%}) are given as zero; {end}" in lines
    assert any(f"{given:,}" in line and f"{given / total:.2%}" in line for line in lines[:6])


def test_weights_without_zeros_need_no_line(capsys, tmp_path):
    torch.save(tiny_resnet(10).state_dict(), tmp_path / "dense.pt")
    lines = shown(capsys, tmp_path, f"dense.checkpoint={tmp_path / 'dense.pt'}")

    assert not any("given as zero" in line for line in lines)


@pytest.mark.parametrize("events", [(), ((0, 0.3),), ((0, 0.9),)])
def test_the_sparsity_of_an_epoch_is_what_is_counted(tmp_path, events):
    setup = small_setup()
    network = setup.new_network()
    with_zeros(network, 0.6)
    pruner = Pruner() if events else None
    run = PhaseRun("finetune", phase(1), plan(*events, epochs=1), pruner=pruner)
    done = fit(setup, network, run, tmp_path)

    weights = [done.state[name] for name in Targets().find(network)]
    zeros = sum(int((weight == 0).sum()) for weight in weights)
    assert done.rows[0].sparsity == zeros / sum(map(torch.numel, weights))
