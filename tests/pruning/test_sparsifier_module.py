"""A Sparsifier and its module as they are moved, replaced, copied, pickled and given oddly."""

import copy
import pickle
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import parameters_to_vector, parametrizations, vector_to_parameters

import lightprune
from lightprune.errors import InputError
from lightprune.pruning import Movement, Pruner, Sparsifier, Synflow
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.regrowth import Regrowth
from tests.pruning.test_sparsifier import OPTIMIZERS, loss_of, perceptron, train, zeros

ADAM = partial(torch.optim.Adam, lr=0.1)


def trained(model, sparsifier, optimizer=ADAM, dtype=torch.float32, steps=3):
    """Trains on inputs of a dtype, with an optimizer that is attached to the sparsifier."""
    made = optimizer(model.parameters())
    sparsifier.attach(made)
    for _ in range(steps):
        made.zero_grad()
        model(torch.randn(8, 6, dtype=dtype)).float().square().mean().backward()
        made.step()
    return made


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_zeros_hold_in_a_module_that_changes_its_dtype(dtype):
    model = perceptron()
    sparsifier = Sparsifier(model)
    sparsifier.prune_(0.5)
    trained(model, sparsifier)
    model.to(dtype)
    trained(model, sparsifier, torch.optim.SGD, dtype)
    sparsifier.prune_(0.75)
    made = trained(model, sparsifier, torch.optim.SGD, dtype)
    sparsifier.mask_gradients_(made)

    sparsifier.check()
    assert zeros(sparsifier.weights) == 108


@pytest.mark.parametrize("optimizer", ["sgd", "fused adam", "eigenbasis"])
@pytest.mark.parametrize("steps", [0, 2])
@pytest.mark.parametrize(
    "load",
    [
        lambda model, dense: model.load_state_dict(dense),
        lambda model, dense: vector_to_parameters(
            parameters_to_vector(dense.values()), model.parameters()
        ),
    ],
    ids=["load_state_dict", "vector_to_parameters"],
)
def test_weights_that_are_loaded_between_steps_are_pruned_by_the_next(optimizer, steps, load):
    model = perceptron()
    dense = copy.deepcopy(model.state_dict())
    sparsifier = Sparsifier(model)
    made = OPTIMIZERS[optimizer](model.parameters())
    sparsifier.attach(made)
    sparsifier.prune_(0.5)
    train(model, made, steps=steps)
    load(model, dense)
    assert zeros(sparsifier.weights) == 0

    train(model, made, steps=1)

    sparsifier.check()
    assert zeros(sparsifier.weights) == 72


def test_parameters_that_take_the_place_of_others_are_held():
    model = perceptron()
    sparsifier = Sparsifier(model)
    masks = sparsifier.prune_(0.5)
    model.load_state_dict(
        {n: torch.randn_like(v) for n, v in model.state_dict().items()}, assign=True
    )

    trained(model, sparsifier)

    sparsifier.check()
    assert sparsifier.weights["0.weight"] is model[0].weight
    assert sparsifier.sparsity == 0.5
    assert masks.violations(dict(model.named_parameters())) == {}


def test_new_parameters_that_nothing_holds_are_noticed():
    model = perceptron()
    sparsifier = Sparsifier(model)
    sparsifier.prune_(0.5)
    model[0].weight = nn.Parameter(torch.ones(16, 6))

    with pytest.raises(PruningError, match=r"0\.weight are not zero"):
        sparsifier.check()


@pytest.mark.parametrize(
    ("change", "now"),
    [
        (lambda model: parametrizations.weight_norm(model[0]), "none"),
        (lambda model: setattr(model[0], "weight", nn.Parameter(torch.ones(4, 6))), r"\(4, 6\)"),
    ],
    ids=["computed", "smaller"],
)
def test_a_parameter_that_is_gone_is_named(change, now):
    model = perceptron()
    sparsifier = Sparsifier(model)
    sparsifier.prune_(0.5)
    change(model)

    message = rf"module: its parameter 0\.weight was of shape \(16, 6\) and is {now} now; allowed"
    for action in (sparsifier.check, lambda: sparsifier.attach(ADAM(model.parameters()))):
        with pytest.raises(InputError, match=message):
            action()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda both: pickle.loads(pickle.dumps(both))])
def test_a_copy_holds_the_zeros_of_its_module_and_leaves_the_first_alone(copied):
    model = perceptron()
    sparsifier = Sparsifier(model)
    made = trained(model, sparsifier)
    sparsifier.prune_(0.5)
    other, second = copied((model, sparsifier))

    trained(other, second)
    second.prune_(0.75)
    second.finalize()
    train(model, made)

    sparsifier.check()
    assert second.weights["0.weight"] is other[0].weight
    assert (zeros(sparsifier.weights), zeros(second.weights)) == (72, 108)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.RMSprop, torch.optim.Adagrad])
def test_optimizers_that_divide_zero_by_zero_leave_zeros(optimizer):
    model = perceptron()
    sparsifier = Sparsifier(model)
    sparsifier.prune_(0.5)
    trained(model, sparsifier, partial(optimizer, eps=0.0))

    sparsifier.check()


def test_half_precision_has_no_eps():
    model = perceptron().half()
    sparsifier = Sparsifier(model)
    sparsifier.prune_(0.5)
    trained(model, sparsifier, ADAM, torch.float16)

    sparsifier.check()


def test_gradients_that_come_after_the_masking_are_masked_by_the_step():
    model = perceptron()
    sparsifier = Sparsifier(model)
    sparsifier.prune_(0.5)
    made = trained(model, sparsifier)
    sparsifier.mask_gradients_(made)
    loss_of(model).backward()
    made.step()

    sparsifier.check()
    for name, weight in sparsifier.weights.items():
        assert not weight.grad[~sparsifier.masks[name]].any()


class Scaled(torch.optim.SGD):
    """Takes more than a closure."""

    def step(self, closure=None, scale=1):
        self.scale = scale
        return super().step(closure)


def test_arguments_of_a_step_arrive():
    model = perceptron()
    sparsifier = Sparsifier(model)
    optimizer = Scaled(model.parameters())
    sparsifier.attach(optimizer)
    sparsifier.prune_(0.5)

    def closure():
        loss = loss_of(model)
        loss.backward()
        return loss

    assert optimizer.step(closure, 7).isfinite()
    assert optimizer.scale == 7
    optimizer.step(closure=closure, scale=8)
    assert optimizer.scale == 8
    sparsifier.check()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1],), "module=list: allowed is a torch.nn.Module"),
        ((perceptron(), 0.9), "pruner=0.9: allowed is a Pruner"),
        ((perceptron(), lightprune.Cubic(0.9)), "pruner=Cubic: allowed is a Pruner"),
        ((perceptron(), None, "Linear"), "targets=Linear: allowed is a Targets"),
        ((perceptron(), Pruner(Synflow())), "pruner.criterion=Synflow: needs the size of the inp"),
    ],
    ids=["module", "number", "schedule", "targets", "synflow"],
)
def test_arguments_of_another_type_are_refused_by_name(arguments, message):
    with pytest.raises(InputError, match=message):
        Sparsifier(*arguments)


@pytest.mark.parametrize("sparsity", [1, 1.5, -0.1, "0.9", None, float("nan")])
def test_a_sparsity_is_a_share_below_one(sparsity):
    with pytest.raises(InputError, match=r"sparsity=.*: allowed is a number in \[0, 1\)"):
        lightprune.prune(perceptron(), sparsity)


def test_masks_cut_short_are_noticed():
    state = Sparsifier(perceptron()).state_dict()
    with pytest.raises(PruningError, match="checkpoint: packed masks hold 17 bytes"):
        Sparsifier(perceptron()).load_state_dict({**state, "masks": state["masks"][:-1]})


def test_masks_of_another_criterion_are_taken_and_scores_start_from_zero():
    sparsifier = Sparsifier(perceptron())
    masks = sparsifier.prune_(0.5)
    other = Sparsifier(perceptron(), Pruner(Movement()))
    other.load_state_dict(sparsifier.state_dict())

    assert other.masks.digest() == masks.digest()
    assert not any(scores.any() for scores in other.state_dict()["accumulated"].values())


@pytest.mark.parametrize("state", [{}, perceptron().state_dict()], ids=["empty", "of the module"])
def test_a_state_without_masks_is_refused(state):
    with pytest.raises(InputError, match="checkpoint: holds no masks; allowed is what state_dict"):
        Sparsifier(perceptron()).load_state_dict(state)


@pytest.mark.parametrize("weights", ["rewind", "reinitialise"])
def test_weights_that_only_experiments_replace_are_refused(weights):
    model = perceptron()
    with pytest.raises(InputError, match=rf"^pruner\.weights={weights}: experiments alone"):
        lightprune.prune(model, 0.5, Pruner(weights=weights))
    assert zeros(dict(model.named_parameters())) == 0


def test_regrowth_asks_how_far_the_events_are():
    sparsifier = Sparsifier(perceptron(), Pruner(regrowth=Regrowth(0.5, "random")))
    first = sparsifier.prune_(0.5)
    with pytest.raises(InputError, match=r"^progress=None: regrowth fades"):
        sparsifier.prune_(0.5)
    with pytest.raises(InputError, match=r"^progress=4: allowed is a number in \[0, 1\]"):
        sparsifier.prune_(0.5, progress=4)

    assert sparsifier.prune_(0.5, progress=0.25).digest() != first.digest()
