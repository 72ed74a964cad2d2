"""Sparsifier: exact zeros in any module and loop, under every optimizer, from state to state."""

import copy
import warnings
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

from lightprune.errors import InputError
from lightprune.pruning import MagnitudePerMac, Masks, Movement, Pruner, Sparsifier, Targets, Taylor
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.regrowth import Regrowth
from tests.callbacks.optimizers.test_mixing_optimizers import Eigenbasis, Whitening


def perceptron():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def loss_of(model):
    return model(torch.randn(8, 6)).square().mean()


def train(model, *optimizers, steps=3):
    for _ in range(steps):
        for optimizer in optimizers:
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()


def zeros(weights):
    return sum(int((weight == 0).sum()) for weight in weights.values())


def test_it_prints_how_many_weights_are_pruned():
    sparsifier = Sparsifier(perceptron())
    assert repr(sparsifier) == "Sparsifier(0 of 144 weights pruned, in 2 tensors)"

    sparsifier.prune_(0.5)
    assert repr(sparsifier) == "Sparsifier(72 of 144 weights pruned, in 2 tensors)"


OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
    "adamw": partial(torch.optim.AdamW, lr=0.1, amsgrad=True),
    "fused adam": partial(torch.optim.Adam, lr=0.1, fused=True),
    "nadam": partial(torch.optim.NAdam, lr=0.1, weight_decay=0.1),
    "radam": partial(torch.optim.RAdam, lr=0.1, weight_decay=0.1),
    "adamax": partial(torch.optim.Adamax, lr=0.1),
    "adagrad": partial(torch.optim.Adagrad, lr=0.1, initial_accumulator_value=0.1),
    "rmsprop": partial(torch.optim.RMSprop, lr=0.1, momentum=0.9, centered=True),
    "asgd": partial(torch.optim.ASGD, lr=0.1, t0=1),
    "rprop": partial(torch.optim.Rprop, lr=0.1),
    "whitening": Whitening,
    "eigenbasis": Eigenbasis,
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_zeros_hold_under_every_optimizer(optimizer):
    model = perceptron()
    sparsifier = Sparsifier(model)
    made = OPTIMIZERS[optimizer](model.parameters())
    sparsifier.attach(made)
    for sparsity in (0.3, 0.8):
        sparsifier.prune_(sparsity)
        train(model, made)
        sparsifier.check()
        assert zeros(sparsifier.weights) == round(sparsity * 144)


@pytest.mark.parametrize("source", ["event", "loaded later", "sparsifier attached later"])
def test_momentum_of_pruned_weights_brings_none_back(source):
    model = perceptron()
    made = OPTIMIZERS["sgd"](model.parameters())
    sparsifier = Sparsifier(model, optimizer_state="keep")
    if source != "sparsifier attached later":
        sparsifier.attach(made)
    train(model, made)
    momentum = copy.deepcopy(made.state_dict())
    if source == "loaded later":
        made.state.clear()
    sparsifier.prune_(0.8)
    sparsifier.attach(made)
    if source == "loaded later":
        train(model, made)
        made.load_state_dict(momentum)

    for _ in range(5):
        train(model, made, steps=1)
        sparsifier.check()


@given(sparsity=st.floats(0, 0.99), scope=st.sampled_from(["global", "local", "erk"]))
def test_pruning_is_the_pruners_on_the_modules_weights(sparsity, scope):
    model = perceptron()
    weights = {name: w.detach().clone() for name, w in model.named_parameters() if w.dim() > 1}
    expected = Pruner(scope=scope).prune(weights, Masks.dense(weights), sparsity)

    masks = Sparsifier(model, Pruner(scope=scope)).prune_(sparsity)

    assert masks.digest() == expected.digest()
    for name, weight in weights.items():
        assert torch.equal(model.get_parameter(name), weight * expected[name])


def test_optimizers_that_hold_a_part_each_keep_its_zeros():
    model = perceptron()
    sparsifier = Sparsifier(model)
    made = [torch.optim.Adam(layer.parameters()) for layer in (model[0], model[2])]
    for optimizer in made:
        sparsifier.attach(optimizer)
    sparsifier.prune_(0.7)
    train(model, *made)

    sparsifier.check()


def test_parameters_that_an_optimizer_gets_later_are_held():
    model = perceptron()
    sparsifier = Sparsifier(model)
    optimizer = Whitening(model[0].parameters())
    sparsifier.attach(optimizer)
    sparsifier.prune_(0.7)
    optimizer.add_param_group({"params": model[2].parameters()})
    train(model, optimizer)

    sparsifier.check()


def test_a_step_sees_no_gradient_of_a_pruned_weight_also_not_from_a_closure():
    model = perceptron()
    sparsifier = Sparsifier(model)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
    sparsifier.attach(optimizer)
    sparsifier.prune_(0.5)

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(2, 6)).square().mean()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert optimizer.step(closure) < first

    sparsifier.check()
    for name, weight in sparsifier.weights.items():
        assert not weight.grad[~sparsifier.masks[name]].any()


def test_accumulated_scores_see_dense_gradients_once_a_step():
    model = perceptron()
    sparsifier = Sparsifier(model, Pruner(Movement()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    sparsifier.attach(optimizer)
    loss_of(model).backward()
    expected = {n: -w.detach() * w.grad for n, w in sparsifier.weights.items()}
    for _ in range(2):
        optimizer.step()
    sparsifier.mask_gradients_(optimizer)
    optimizer.step()

    for name, state in sparsifier.state_dict()["accumulated"].items():
        torch.testing.assert_close(state, 3 * expected[name])
    assert sparsifier.prune_(0.5).pruned == 72


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_a_scaler_leaves_out_accumulates_nothing_and_the_others_as_without(fused):
    model = perceptron()
    sparsifier = Sparsifier(model, Pruner(Movement()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, fused=fused)
    sparsifier.attach(optimizer)
    inputs = torch.randn(8, 6)
    model(inputs).square().mean().backward()
    expected = {n: -w.detach() * w.grad for n, w in sparsifier.weights.items()}
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for overflows in (False, True, False):
        optimizer.zero_grad()
        scaler.scale(model(inputs).square().mean()).backward()
        if overflows:
            model[2].bias.grad[0] = torch.inf
        scaler.step(optimizer)
        scaler.update()

    for name, state in sparsifier.state_dict()["accumulated"].items():
        torch.testing.assert_close(state, 2 * expected[name])


def test_a_weight_that_comes_back_starts_without_momentum():
    model = perceptron()
    sparsifier = Sparsifier(model, Pruner(regrowth=Regrowth(0.9, "random")), optimizer_state="keep")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    sparsifier.attach(optimizer)
    train(model, optimizer)
    before = sparsifier.prune_(0.5)
    after = sparsifier.prune_(0.5, progress=0.5)

    for name, weight in sparsifier.weights.items():
        momentum = optimizer.state[weight]["momentum_buffer"]
        back = after[name] & ~before[name]
        assert back.any()
        assert not momentum[back].any()
        assert momentum[before[name] & ~after[name]].any()


def test_sparse_gradients_leave_zeros_at_zero():
    embedding = nn.Embedding(20, 4, sparse=True)
    sparsifier = Sparsifier(embedding)
    optimizer = torch.optim.SparseAdam(embedding.parameters())
    sparsifier.attach(optimizer)
    sparsifier.prune_(0.5)
    embedding(torch.arange(20)).sum().backward()
    optimizer.step()

    sparsifier.check()
    assert zeros(sparsifier.weights) == 40


def test_what_changes_a_pruned_weight_is_noticed_by_name_and_count():
    model = perceptron()
    sparsifier = Sparsifier(model)
    sparsifier.prune_(0.5)
    with torch.no_grad():
        model[0].weight.add_(1)

    with pytest.raises(PruningError, match=r"^\d+ pruned weights of 0\.weight are not zero; every"):
        sparsifier.check()


def test_state_goes_from_module_to_module_without_code(tmp_path):
    sparsifier = Sparsifier(perceptron())
    masks = sparsifier.prune_(0.8)
    torch.save(sparsifier.state_dict(), tmp_path / "masks.pt")
    dense = perceptron()
    other = Sparsifier(dense)

    other.load_state_dict(torch.load(tmp_path / "masks.pt", weights_only=True))

    assert other.masks.digest() == masks.digest()
    assert zeros(other.weights) == masks.pruned
    assert sparsifier.state_dict()["masks"].numel() == 12 + 6


def test_state_of_another_module_is_refused_by_name_and_damage_is_noticed():
    state = Sparsifier(perceptron()).state_dict()
    with pytest.raises(InputError, match=r"its network is 0\.weight=\[16, 6\], .*=\[4, 6\]"):
        Sparsifier(nn.Sequential(nn.Linear(6, 4))).load_state_dict(state)
    with pytest.raises(PruningError, match="its masks do not match their digest"):
        Sparsifier(perceptron()).load_state_dict({**state, "digest": "0"})


def test_zeros_of_another_tool_are_gone_on_with():
    model = perceptron()
    for layer in (model[0], model[2]):
        prune.l1_unstructured(layer, "weight", amount=0.5)
        prune.remove(layer, "weight")
    before = {n: w.detach() != 0 for n, w in model.named_parameters() if w.dim() > 1}

    sparsifier = Sparsifier.from_zeros(model)
    optimizer = Whitening(model.parameters())
    sparsifier.attach(optimizer)
    train(model, optimizer)

    sparsifier.check()
    assert zeros(sparsifier.weights) == 72
    after = sparsifier.prune_(0.75)
    assert after.pruned == 108
    assert not any((after[name] & ~before[name]).any() for name in before)


def test_finalize_lets_go_of_the_optimizers_and_leaves_the_zeros():
    model = perceptron()
    sparsifier = Sparsifier(model)
    optimizer = Whitening(model.parameters())
    for _ in range(2):
        sparsifier.attach(optimizer)
    sparsifier.prune_(0.5)
    masks = sparsifier.finalize()

    assert masks.violations(sparsifier.weights) == {}
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks
    train(model, optimizer)
    assert masks.violations(sparsifier.weights)


def test_the_module_stays_an_ordinary_one():
    model = perceptron()
    names = list(model.state_dict())
    Sparsifier(model).prune_(0.9)

    assert list(model.state_dict()) == names
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert zeros(dict(copy.deepcopy(model).named_parameters())) == zeros(
        dict(model.named_parameters())
    )


def test_every_layer_of_a_model_is_found_and_what_stays_dense_is_said():
    model = nn.ModuleDict(
        {
            "embedding": nn.Embedding(5, 4),
            "attention": nn.MultiheadAttention(4, 2),
            "recurrent": nn.GRU(4, 3, bidirectional=True),
            "up": nn.ConvTranspose1d(2, 3, 2),
            "volume": nn.Conv3d(1, 2, 2),
            "cell": nn.LSTMCell(2, 2),
            "frozen": nn.Linear(3, 3).requires_grad_(False),
            "norm": nn.LayerNorm(4),
        }
    )
    with pytest.warns(UserWarning, match=r"^left dense: 9 weights of frozen \(frozen\)$"):
        sparsifier = Sparsifier(model)

    assert list(sparsifier.weights) == [
        "embedding.weight",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "recurrent.weight_ih_l0",
        "recurrent.weight_hh_l0",
        "recurrent.weight_ih_l0_reverse",
        "recurrent.weight_hh_l0_reverse",
        "up.weight",
        "volume.weight",
        "cell.weight_ih",
        "cell.weight_hh",
    ]


def test_nothing_is_said_where_all_is_prunable():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Sparsifier(perceptron())


@pytest.mark.parametrize(
    ("pruner", "message"),
    [
        (Pruner(MagnitudePerMac()), "pruner.criterion=MagnitudePerMac: needs the MACs of every"),
        (Pruner(unreachable="first"), "pruner.unreachable=first: needs the size of the inputs"),
    ],
    ids=["criterion", "unreachable"],
)
def test_what_needs_an_example_is_refused_without_and_works_with(pruner, message):
    with pytest.raises(InputError, match=message):
        Sparsifier(perceptron(), pruner)

    assert Sparsifier(perceptron(), pruner, example=torch.zeros(1, 6)).prune_(0.5).pruned == 72


def test_a_criterion_of_gradients_takes_a_loss_and_batches():
    model = perceptron()
    sparsifier = Sparsifier(model, Pruner(Taylor(batches=2)))
    with pytest.raises(InputError, match=r"pruner\.criterion: needs loss and batches"):
        sparsifier.prune_(0.5)
    batches = [torch.randn(4, 6) for _ in range(3)]
    probe = sparsifier.probe(lambda copied, batch: copied(batch).square().mean(), lambda: batches)

    assert sparsifier.prune_(0.5, probe=probe).pruned == 72


@pytest.mark.parametrize("thing", [None, "sgd", nn.Linear(1, 1)], ids=["none", "str", "module"])
def test_what_is_no_optimizer_is_refused(thing):
    with pytest.raises(InputError, match=r"optimizer=.*: allowed is a torch\.optim\.Optimizer"):
        Sparsifier(perceptron()).attach(thing)


def test_targets_of_one_layer_leave_the_others():
    model = perceptron()
    Sparsifier(model, targets=Targets(("Linear",), include=("2",))).prune_(0.5)

    assert bool((model[0].weight != 0).all())
    assert int((model[2].weight == 0).sum()) == 24
