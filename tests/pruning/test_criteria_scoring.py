from dataclasses import fields
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from lightprune.errors import InputError
from lightprune.pruning import criteria
from lightprune.pruning.criteria import (
    AnyCriterion,
    Inverted,
    Lamp,
    Magnitude,
    MagnitudePerMac,
    Movement,
    Random,
    Snip,
    Synflow,
    Taylor,
    check_criterion,
    scores,
)
from lightprune.pruning.masks import Masks
from tests.pruning.probe import PlainProbe

EVERY = [
    Inverted(Lamp()),
    Lamp(),
    Magnitude(),
    MagnitudePerMac(),
    Movement(),
    Random(),
    Snip(),
    Synflow(),
    Taylor(),
]
OPTIONS = sorted((Path(__file__).parents[2] / "configs/pruner/criterion").glob("*.yaml"))
every = pytest.mark.parametrize("criterion", EVERY, ids=lambda c: type(c).__name__)


def asked():
    """A network of two layers with everything that any criterion may ask for."""
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    weights = {"0.weight": network[0].weight, "2.weight": network[2].weight}
    probe = PlainProbe(
        network,
        [(torch.randn(6, 3), torch.randint(2, (6,)))],
        image=(3,),
        evidence={name: torch.randn(w.shape) for name, w in weights.items()},
    )
    macs = {"0.weight": torch.tensor(4), "2.weight": torch.tensor(1)}
    return weights, Masks.dense(weights), macs, probe


@every
def test_every_kind_is_a_criterion_and_scores_what_is_asked(criterion):
    weights, masks, macs, probe = asked()

    check_criterion("pruner.criterion", criterion)
    with torch.no_grad():
        found = scores(criterion, ("2.weight",), weights, masks, macs, probe)

    assert isinstance(criterion, AnyCriterion)
    assert list(found) == ["2.weight"]
    assert found["2.weight"].shape == (2, 4)
    assert found["2.weight"].dtype == torch.float32
    assert not found["2.weight"].isnan().any()
    assert not found["2.weight"].requires_grad


@pytest.mark.parametrize("value", [Magnitude, Synflow, "l1", None, 3])
def test_what_is_no_criterion_is_refused(value):
    with pytest.raises(InputError, match=r"pruner\.criterion=.*: allowed is a criterion$"):
        check_criterion("pruner.criterion", value)


@every
def test_the_network_is_asked_once_for_all_parameters(criterion):
    weights, masks, macs, probe = asked()

    scores(criterion, weights, weights, masks, macs, probe)

    assert probe.asked == (criterion in (Snip(), Synflow(), Taylor()))


def test_scores_are_those_of_the_criterion():
    weights, masks, macs, probe = asked()
    first = weights["0.weight"]

    def found(criterion):
        return scores(criterion, weights, weights, masks, macs, probe)["0.weight"]

    assert torch.equal(found(Lamp()), Lamp().saliency("0.weight", first))
    assert torch.equal(found(MagnitudePerMac()), first.detach().abs() / 2)
    assert torch.equal(found(Movement()), probe.evidence["0.weight"])
    assert torch.equal(found(Taylor()), Taylor().saliencies(weights, masks, probe)["0.weight"])


@pytest.mark.parametrize("criterion", [Movement(), Snip(), Synflow(), Taylor()])
def test_a_probe_that_is_needed_and_not_given_is_asked_for(criterion):
    weights, masks, macs, _ = asked()

    with pytest.raises(TypeError, match=r"asks the network: prune\(\.\.\., probe=\.\.\.\)"):
        scores(criterion, weights, weights, masks, macs, None)


def test_movement_before_the_first_step_is_refused():
    weights, masks, _, probe = asked()
    probe.evidence = {name: torch.zeros(w.shape) for name, w in weights.items()}

    with pytest.raises(InputError, match=r"=Movement\(\): .* allowed is a schedule.start above 0"):
        scores(Movement(), weights, weights, masks, None, probe)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda file: file.stem)
def test_every_option_names_a_criterion_and_all_of_its_settings(option):
    settings = yaml.safe_load(option.read_text())
    kind = getattr(criteria, settings.pop("_target_").removeprefix("lightprune.pruning."))

    assert list(settings) == [setting.name for setting in fields(kind)]
    assert kind in map(type, EVERY)
    for setting in fields(kind):
        if setting.name not in ("seed", "criterion"):
            assert settings[setting.name] == setting.default


def test_every_criterion_has_an_option():
    assert len(OPTIONS) == len(EVERY)
