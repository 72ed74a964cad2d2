from functools import partial

import pytest
import torch
from torch import nn

from lightprune.errors import InputError
from lightprune.training.lr_schedule import LearningRate
from lightprune.training.recipe import FineTuning, Phase, Recipe
from tests.training.small import cnn, phase

SGD = partial(torch.optim.SGD, lr=0.1, weight_decay=0.25)


def made(kind=Phase, **settings):
    usual = {
        "epochs": 3,
        "batch_size": 8,
        "optimizer": SGD,
        "learning_rate": LearningRate(0.1),
    }
    return kind(**{**usual, **settings})


def decays(optimizer, network):
    """The weight decay of every parameter, by name."""
    found = {
        id(parameter): group["weight_decay"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    return {name: found.get(id(p)) for name, p in network.named_parameters()}


def test_weight_decay_spares_biases_and_normalisation():
    network = cnn()

    found = decays(made().build_optimizer(network), network)

    assert found == {
        "0.weight": 0.25,
        "0.bias": 0,
        "1.weight": 0,
        "1.bias": 0,
        "4.weight": 0.25,
        "5.weight": 0,
        "5.bias": 0,
        "7.weight": 0.25,
        "7.bias": 0,
        "10.weight": 0.25,
        "10.bias": 0,
    }


def test_decay_all_spares_nothing():
    network = cnn()

    found = decays(made(decay_all=True).build_optimizer(network), network)

    assert set(found.values()) == {0.25}
    assert len(found) == 11


def test_frozen_parameters_are_left_out():
    network = cnn()
    network[0].requires_grad_(False)

    found = decays(made().build_optimizer(network), network)

    assert [name for name, decay in found.items() if decay is None] == ["0.weight", "0.bias"]


@pytest.mark.parametrize("decay_all", [True, False])
def test_every_parameter_belongs_to_exactly_one_group(decay_all):
    network = cnn()
    groups = made(decay_all=decay_all).build_optimizer(network).param_groups

    ids = [id(parameter) for group in groups for parameter in group["params"]]

    assert sorted(ids) == sorted(id(parameter) for parameter in network.parameters())


def test_a_network_of_matrices_alone_has_no_empty_group():
    optimizer = made().build_optimizer(nn.Linear(3, 2, bias=False))

    assert [len(group["params"]) for group in optimizer.param_groups] == [1]


def test_the_optimizer_is_the_one_that_was_asked_for():
    optimizer = made(optimizer=partial(torch.optim.AdamW, betas=(0.5, 0.9))).build_optimizer(cnn())

    assert isinstance(optimizer, torch.optim.AdamW)
    assert all(group["betas"] == (0.5, 0.9) for group in optimizer.param_groups)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": -1}, "epochs=-1: allowed is an integer at least 0"),
        ({"epochs": 2.5}, "epochs=2.5: allowed is an integer"),
        ({"batch_size": 0}, "batch_size=0: allowed is an integer at least 1"),
        ({"label_smoothing": 1}, r"label_smoothing=1: allowed is a number in \[0, 1\)"),
        ({"label_smoothing": -0.1}, "label_smoothing=-0.1"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [Phase, FineTuning])
def test_a_bad_number_is_refused_in_either_phase(kind, setting, message):
    with pytest.raises(InputError, match=message):
        made(kind, **setting)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"epochs": 0}, "epochs=0: allowed is an integer at least 1"),
        ({"restart": "events"}, "restart=events: .*did you mean event"),
        ({"optimizer_state": "masks"}, "optimizer_state=masks: .*did you mean mask"),
        ({"l1": -1e-4}, "l1=-0.0001: allowed is a number at least 0"),
        ({"l1": float("nan")}, "l1=nan"),
        ({"recalibrate": -1}, "recalibrate=-1: allowed is an integer at least 0"),
        ({"recalibrate": 0.5}, "recalibrate=0.5"),
    ],
    ids=str,
)
def test_a_bad_setting_of_fine_tuning_is_refused(setting, message):
    with pytest.raises(InputError, match=message):
        made(FineTuning, **setting)


def test_a_dense_phase_may_have_no_epoch():
    assert made(epochs=0).epochs == 0


def test_only_fine_tuning_may_have_an_automatic_peak():
    automatic = LearningRate("auto")

    Recipe(dense=made(), finetune=made(FineTuning, learning_rate=automatic))
    with pytest.raises(InputError, match=r"recipe\.dense.learning_rate.peak=auto"):
        Recipe(dense=made(learning_rate=automatic), finetune=phase())


def test_only_fine_tuning_may_rewind_the_learning_rate():
    rewound = LearningRate(0.1, "rewind")

    Recipe(dense=made(), finetune=made(FineTuning, learning_rate=rewound))
    with pytest.raises(InputError, match=r"recipe\.dense.learning_rate.shape=rewind"):
        Recipe(dense=made(learning_rate=rewound), finetune=phase())
