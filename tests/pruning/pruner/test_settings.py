import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from lightprune.errors import InputError
from lightprune.pruning.criteria import Magnitude, Random
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from tests.pruning.pruner.brute_force import brute_force, dense, total_of
from tests.pruning.strategies import (
    FLOORS,
    SCOPES,
    flags_for,
    sparsities,
    weight_dicts,
)


@given(weight_dicts(), sparsities(), FLOORS, st.data())
def test_a_global_floor_keeps_its_share_of_every_tensor_and_the_total_stays_exact(
    weights, sparsity, floor, data
):
    zeros = round(sparsity * total_of(weights))
    assume(zeros <= sum(w.numel() - math.ceil(floor * w.numel()) for w in weights.values()))

    masks = Pruner(floor=floor).prune(weights, dense(weights), sparsity)

    assert masks.pruned == zeros
    assert all(int(m.sum()) >= math.ceil(floor * m.numel()) for m in masks.values())
    assert masks.digest() == brute_force(weights, zeros, floor=floor).digest()


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), sparsities(), FLOORS)
def test_a_local_floor_that_leaves_room_in_sum_keeps_the_total_exact(sizes, sparsity, floor):
    weights = {f"layer{i}.weight": torch.arange(float(size)) for i, size in enumerate(sizes)}
    zeros = round(sparsity * sum(sizes))
    assume(zeros <= sum(size - math.ceil(floor * size) for size in sizes))

    masks = Pruner(scope="local", floor=floor).prune(weights, dense(weights), sparsity)

    assert masks.pruned == zeros
    assert all(int(m.sum()) >= math.ceil(floor * m.numel()) for m in masks.values())


def test_a_floor_holds_over_successive_events():
    generator = torch.Generator().manual_seed(0)
    weights = {"small": torch.rand(40, generator=generator) / 100, "large": torch.rand(200)}
    pruner, masks = Pruner(floor=0.25), dense(weights)
    for sparsity in (0.3, 0.5, 0.75):
        masks = pruner.prune(weights, masks, sparsity)

        assert masks.pruned == round(sparsity * 240)
        assert int(masks["small"].sum()) == 10


@pytest.mark.parametrize("scope", ["global", "local"])
def test_a_floor_above_the_kept_share_is_refused_by_name(scope):
    weights = {"a": torch.rand(10), "b": torch.rand(30)}

    with pytest.raises(InputError, match=r"pruner\.floor=0\.5: .*allowed is a floor that leaves"):
        Pruner(scope=scope, floor=0.5).prune(weights, dense(weights), 0.75)


def test_a_floor_in_decimals_keeps_no_more_than_its_share():
    weights = {"a": torch.arange(100.0)}

    masks = Pruner(floor=0.07).prune(weights, dense(weights), 0.93)

    assert masks.kept == 7


def test_a_tensor_already_below_the_floor_does_not_stop_later_events():
    weights = {"a": torch.rand(10), "b": torch.rand(10)}
    masks = Masks({"a": torch.zeros(10, dtype=torch.bool), "b": torch.ones(10, dtype=torch.bool)})

    after = Pruner(floor=0.5).prune(weights, masks, 0.75)

    assert int(after["b"].sum()) == 5


@given(weight_dicts(), sparsities(), FLOORS, SCOPES, st.data())
def test_unreachable_weights_go_before_any_live_one(weights, sparsity, floor, scope, data):
    live = data.draw(flags_for(weights))
    floor = floor if scope == "global" else 0.0
    zeros = round(sparsity * total_of(weights))
    assume(zeros <= sum(w.numel() - math.ceil(floor * w.numel()) for w in weights.values()))
    pruner = Pruner(scope=scope, floor=floor, unreachable="first")

    masks = pruner.prune(weights, dense(weights), sparsity, macs=live)

    assert masks.pruned == zeros
    for names, count in pruner.zero_counts(weights, sparsity):
        part = {name: weights[name] for name in names}
        expected = brute_force(part, count, floor=floor, live=live)
        assert all(torch.equal(masks[name], expected[name]) for name in names)


def test_pruning_no_more_than_the_unreachable_weights_leaves_every_live_one():
    weights = {"a": torch.tensor([1.0, 9.0, 2.0, 8.0]), "b": torch.tensor([7.0, 0.1])}
    live = {"a": torch.tensor([True, False, True, False]), "b": torch.tensor([False, True])}

    masks = Pruner(unreachable="first").prune(weights, dense(weights), 0.5, macs=live)

    assert all(torch.equal(masks[name], live[name]) for name in weights)


def test_unreachable_weights_rank_like_any_other_by_default():
    weights = {"a": torch.tensor([1.0, 9.0, 2.0, 8.0])}
    live = {"a": torch.tensor([True, False, True, False])}

    masks = Pruner().prune(weights, dense(weights), 0.5, macs=live)

    assert masks["a"].tolist() == [False, True, False, True]


@pytest.mark.parametrize("scope", ["global", "local"])
def test_an_override_gives_the_matching_tensors_their_own_sparsity(scope):
    weights = {n: torch.rand(100) for n in ("conv1.weight", "conv2.weight", "fc.weight")}

    masks = Pruner(scope=scope, sparsities=[["fc", 0.25]]).prune(weights, dense(weights), 0.9)

    assert int((~masks["fc.weight"]).sum()) == 25
    assert int((~masks["conv1.weight"]).sum() + (~masks["conv2.weight"]).sum()) == 180


@pytest.mark.parametrize("scope", ["global", "local"])
def test_overrides_grow_in_step_with_the_events_before_the_final_one(scope):
    weights = {"conv.weight": torch.rand(1000), "fc.weight": torch.rand(200)}
    pruner, masks = Pruner(scope=scope, sparsities=(("fc", 0.5),)), dense(weights)
    counts = []
    for sparsity in (0.2, 0.4, 0.8):
        masks = pruner.prune(weights, masks, sparsity, final=0.8)
        counts.append(tuple(int((~mask).sum()) for mask in masks.values()))

    assert counts == [(200, 25), (400, 50), (800, 100)]


def test_tensors_of_a_global_override_are_outside_the_common_ranking():
    weights = {"conv.weight": torch.arange(100.0) + 1000, "fc.weight": torch.arange(100.0)}

    masks = Pruner(sparsities=[("fc", 0.0)]).prune(weights, dense(weights), 0.5)

    assert masks["fc.weight"].all()
    assert masks["conv.weight"].tolist() == [False] * 50 + [True] * 50


def test_the_first_matching_override_counts():
    weights = {n: torch.rand(100) for n in ("layer1.conv1.weight", "layer1.conv2.weight")}
    pruner = Pruner(sparsities=[("*.conv1", 0.1), ("layer1.*", 0.6)])

    masks = pruner.prune(weights, dense(weights), 0.9)

    assert [int((~mask).sum()) for mask in masks.values()] == [10, 60]


def test_an_override_of_one_empties_its_tensor():
    weights = {"conv.weight": torch.rand(100), "fc.weight": torch.rand(10)}

    masks = Pruner(sparsities=[("fc", 1)]).prune(weights, dense(weights), 0.5)

    assert masks.emptied() == ("fc.weight",)


def test_an_override_that_matches_nothing_is_refused_with_the_nearest_layer():
    weights = {"layer1.weight": torch.rand(5), "fc.weight": torch.rand(5)}

    with pytest.raises(InputError, match=r"pruner\.sparsities=layr1: .*did you mean layer1\?"):
        Pruner(sparsities=[("layr1", 0.5)]).prune(weights, dense(weights), 0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scope": "globl"}, r"pruner\.scope=globl: allowed are global, .*; did you mean global\?"),
        ({"scope": None}, r"pruner\.scope=None: allowed are global, local, uniform_plus, erk$"),
        ({"unreachable": "last"}, r"pruner\.unreachable=last: allowed are rank, first"),
        ({"floor": 1.0}, r"pruner\.floor=1\.0: allowed is a number in \[0, 1\)"),
        ({"floor": -0.1}, r"pruner\.floor=-0\.1: allowed is a number in \[0, 1\)"),
        ({"floor": math.nan}, r"pruner\.floor=nan: allowed is a number in \[0, 1\)"),
        ({"floor": "0.1"}, r"pruner\.floor=0\.1: allowed is a number in \[0, 1\)"),
        ({"floor": True}, r"pruner\.floor=True: allowed is a number in \[0, 1\)"),
        ({"cap": 0.0}, r"pruner\.cap=0\.0: allowed is a number in \(0, 1\]"),
        ({"cap": 1.1}, r"pruner\.cap=1\.1: allowed is a number in \(0, 1\]"),
        ({"cap": 0.2, "floor": 0.3}, r"pruner\.floor=0\.3: above pruner\.cap=0\.2; allowed is"),
        ({"weights": "lose"}, r"pruner\.weights=lose: allowed are keep, rewind, reinitialise, sh"),
        ({"regrowth": "gradient"}, r"pruner\.regrowth=gradient: allowed is a Regrowth, or null"),
        (
            {"criterion": "magnitude"},
            r"pruner\.criterion=magnitude: allowed is a lightprune.pruning.Criterion",
        ),
        ({"sparsities": "fc"}, r"pruner\.sparsities=fc?: allowed is a list of \[pattern, sparsity"),
        ({"sparsities": ["fc"]}, r"pruner\.sparsities=fc: allowed is a list of \[pattern, spar"),
        ({"sparsities": [["fc"]]}, r"pruner\.sparsities=\['fc'\]: allowed is a list of"),
        ({"sparsities": [[1, 0.5]]}, r"pruner\.sparsities=\[1, 0\.5\]: allowed is a list of"),
        ({"sparsities": [["fc", 2]]}, r"pruner\.sparsities\[fc\]=2: allowed is a number in"),
        ({"sparsities": [["fc", "a"]]}, r"pruner\.sparsities\[fc\]=a: allowed is a number in"),
        ({"sparsities": [0.5]}, r"pruner\.sparsities=0\.5: allowed is a list of"),
        ({"sparsities": 0.5}, r"pruner\.sparsities=0\.5: allowed is a list of"),
    ],
)
def test_a_bad_setting_is_refused_with_its_name_its_value_and_what_is_allowed(settings, message):
    with pytest.raises(InputError, match=message):
        Pruner(**settings)


def test_pruners_of_equal_settings_are_equal():
    assert Pruner(Magnitude(), sparsities=[["fc", 1]]) == Pruner(sparsities=(("fc", 1.0),))
    assert Pruner(Random(0)) != Pruner(Random(1))
