from dataclasses import fields
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from lightprune.errors import InputError
from lightprune.pruning import criteria
from lightprune.pruning.criteria import (
    Criterion,
    Inverted,
    Lamp,
    Magnitude,
    MagnitudePerMac,
    Movement,
    Random,
    ScoringContext,
    Snip,
    Synflow,
    Taylor,
    check_criterion,
)
from lightprune.pruning.masks import Masks
from tests.pruning.probe import PlainProbe, scores_of

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
OPTIONS = sorted((Path(__file__).parents[3] / "configs/pruner/criterion").glob("*.yaml"))
every = pytest.mark.parametrize("criterion", EVERY, ids=lambda c: type(c).__name__)


def case():
    """A network of two layers, and a context with everything that any criterion may need."""
    network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    weights = {"0.weight": network[0].weight, "2.weight": network[2].weight}
    probe = PlainProbe(
        network,
        [(torch.randn(6, 3), torch.randint(2, (6,)))],
        image=(3,),
        state={name: torch.randn(w.shape) for name, w in weights.items()},
    )
    macs = {"0.weight": torch.tensor(4), "2.weight": torch.tensor(1)}
    return weights, ScoringContext(Masks.dense(weights), macs=macs, probe=probe), probe


@every
def test_every_criterion_scores_the_passed_weights(criterion):
    weights, context, _ = case()

    check_criterion("pruner.criterion", criterion)
    with torch.no_grad():
        scores = criterion.scores({"2.weight": weights["2.weight"]}, context)

    assert isinstance(criterion, Criterion)
    assert list(scores) == ["2.weight"]
    assert scores["2.weight"].shape == (2, 4)
    assert scores["2.weight"].dtype == torch.float32
    assert not scores["2.weight"].isnan().any()
    assert not scores["2.weight"].requires_grad


@pytest.mark.parametrize("value", [Magnitude, Synflow, "l1", None, 3])
def test_what_is_no_criterion_is_refused(value):
    words = (
        r"pruner\.criterion=.*: allowed is a lightprune\.pruning\.Criterion, such as Magnitude\(\)$"
    )
    with pytest.raises(InputError, match=words):
        check_criterion("pruner.criterion", value)


@every
def test_the_network_is_differentiated_once_for_all_parameters(criterion):
    weights, context, probe = case()

    criterion.scores(weights, context)

    assert probe.calls == (criterion in (Snip(), Synflow(), Taylor()))


@every
def test_a_criterion_declares_what_it_needs(criterion):
    weights, context, probe = case()
    macs = context.macs if "macs" in criterion.needs else None
    probe = probe if {*criterion.needs} - {"macs"} else None

    scores = criterion.scores(weights, ScoringContext(context.masks, macs=macs, probe=probe))

    assert scores.keys() == weights.keys()


def test_scores_are_those_of_the_criterion():
    weights, context, probe = case()
    first = weights["0.weight"]

    def scores(criterion):
        return criterion.scores(weights, context)["0.weight"]

    assert torch.equal(scores(Lamp()), scores_of(Lamp(), first))
    assert torch.equal(scores(MagnitudePerMac()), first.detach().abs() / 2)
    assert torch.equal(scores(Movement()), probe.state["0.weight"])
    assert torch.equal(
        scores(Taylor()),
        probe.gradient_scores(lambda w, g: (w * g).abs(), 10, context.masks)["0.weight"],
    )


@pytest.mark.parametrize("criterion", [Movement(), Snip(), Synflow(), Taylor()])
def test_a_missing_probe_is_named(criterion):
    weights, context, _ = case()

    (need,) = criterion.needs
    words = rf"context\.{need} needs the network: prune\(\.\.\., probe=\.\.\.\)"
    with pytest.raises(TypeError, match=words):
        criterion.scores(weights, ScoringContext(context.masks, macs=context.macs))


def test_movement_before_the_first_step_is_refused():
    weights, context, probe = case()
    probe.state = {name: torch.zeros(w.shape) for name, w in weights.items()}

    words = r"pruner\.criterion: it accumulates .* allowed is a schedule.start above 0"
    with pytest.raises(InputError, match=words):
        Movement().scores(weights, context)


def test_a_criterion_that_declares_accumulation_must_define_it():
    with pytest.raises(NotImplementedError, match=r"Magnitude\.update_"):
        Magnitude().update_(torch.zeros(1), torch.zeros(1), torch.zeros(1))


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
