import math
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune
from torchvision.models import resnet18

from lightprune.errors import InputError
from lightprune.pruning.criteria import Criterion, Magnitude, Random
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from tests.pruning.strategies import ANYTHING, flags_for, sparsities, tensors, weight_dicts

SCOPES = st.sampled_from(["global", "local", "erk"])
# Sixteenths are exact in binary, so that floor * size is too.
FLOORS = st.integers(0, 15).map(lambda k: k / 16)


def dense(weights):
    return Masks.dense(weights)


def total_of(weights):
    return sum(weight.numel() for weight in weights.values())


def brute_force(weights, zeros, *, masks=None, floor=0.0, live=None):
    """Sorts every weight by (live, |w| in float64, position) and takes what the floors allow."""
    masks = masks or dense(weights)
    kept = {name: masks[name].flatten().numpy().copy() for name in weights}
    entries = []
    for name, weight in weights.items():
        size = np.nan_to_num(weight.double().abs().flatten().numpy(), nan=np.inf, posinf=np.inf)
        reached = live[name].flatten().tolist() if live else [True] * len(size)
        entries += [(reached[i], size[i], name, i) for i in range(len(size)) if kept[name][i]]
    entries.sort(key=lambda entry: entry[:2])
    room = {n: k.sum() - math.ceil(Fraction(floor) * k.size) for n, k in kept.items()}
    zeros -= sum(k.size - k.sum() for k in kept.values())
    for _, _, name, place in entries:
        if zeros > 0 and room[name] > 0:
            kept[name][place] = False
            room[name] -= 1
            zeros -= 1
    return Masks({n: torch.from_numpy(k).reshape(weights[n].shape) for n, k in kept.items()})


@given(weight_dicts(), sparsities(below_one=False), SCOPES)
def test_pruning_zeroes_exactly_the_asked_share(weights, sparsity, scope):
    masks = Pruner(scope=scope).prune(weights, dense(weights), sparsity)

    assert masks.pruned == round(sparsity * masks.total)


@given(weight_dicts(), sparsities(below_one=False))
def test_global_pruning_drops_nothing_larger_than_what_it_keeps_anywhere(weights, sparsity):
    masks = Pruner().prune(weights, dense(weights), sparsity)

    sizes = torch.cat([weight.abs().flatten() for weight in weights.values()])
    kept = torch.cat([mask.flatten() for mask in masks.values()])
    if kept.any() and not kept.all():
        assert sizes[~kept].max() <= sizes[kept].min()


@given(weight_dicts(), sparsities(below_one=False))
def test_local_pruning_drops_nothing_larger_than_what_it_keeps_in_the_tensor(weights, sparsity):
    masks = Pruner(scope="local").prune(weights, dense(weights), sparsity)

    for name, kept in masks.items():
        if kept.any() and not kept.all():
            sizes = weights[name].abs()
            assert sizes[~kept].max() <= sizes[kept].min()


@given(
    weight_dicts(elements=ANYTHING, dtypes=(torch.float32, torch.bfloat16, torch.float16)),
    sparsities(below_one=False),
)
def test_global_masks_agree_with_a_float64_sort(weights, sparsity):
    masks = Pruner().prune(weights, dense(weights), sparsity)

    expected = brute_force(weights, round(sparsity * total_of(weights)))
    assert masks.digest() == expected.digest()


@given(weight_dicts(elements=ANYTHING, dtypes=(torch.float32, torch.bfloat16)), sparsities())
def test_local_masks_agree_with_a_float64_sort_of_each_tensor(weights, sparsity):
    pruner = Pruner(scope="local")

    masks = pruner.prune(weights, dense(weights), sparsity)

    for (name,), zeros in pruner.zero_counts(weights, sparsity):
        expected = brute_force({name: weights[name]}, zeros)
        assert torch.equal(masks[name], expected[name])


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60), sparsities(below_one=False))
def test_local_counts_are_exact_in_sum_and_each_within_one_of_its_share(sizes, sparsity):
    weights = {f"layer{i}.weight": torch.empty(size) for i, size in enumerate(sizes)}

    counts = {
        name: zeros for (name,), zeros in Pruner(scope="local").zero_counts(weights, sparsity)
    }

    assert sum(counts.values()) == round(sparsity * sum(sizes))
    assert all(abs(counts[n] - sparsity * w.numel()) < 1 for n, w in weights.items())
    assert all(0 <= counts[n] <= w.numel() for n, w in weights.items())


def test_local_pruning_of_many_oddly_sized_tensors_is_exact():
    generator = torch.Generator().manual_seed(0)
    weights = {f"layer{i}.weight": torch.randn(7 * i + 3, generator=generator) for i in range(40)}

    masks = Pruner(scope="local").prune(weights, dense(weights), 0.9)

    assert masks.pruned == round(0.9 * masks.total)
    for name, mask in masks.items():
        assert abs(int((~mask).sum()) - 0.9 * weights[name].numel()) < 1


@given(weight_dicts(), st.lists(sparsities(), min_size=1, max_size=4), SCOPES, st.data())
def test_what_is_pruned_stays_pruned_while_weights_change(weights, targets, scope, data):
    pruner, masks, reached = Pruner(scope=scope), dense(weights), 0
    for sparsity in targets:
        weights = {n: data.draw(tensors(tuple(w.shape))) for n, w in weights.items()}
        after = pruner.prune(weights, masks, sparsity)

        assert all(not (after[name] & ~masks[name]).any() for name in weights)
        reached = max(reached, round(sparsity * after.total))
        assert after.pruned == reached
        masks = after


@given(weight_dicts(), sparsities(), st.data())
def test_a_later_global_event_agrees_with_a_sort_of_what_is_left(weights, sparsity, data):
    masks = Masks(data.draw(flags_for(weights)))

    after = Pruner().prune(weights, masks, sparsity)

    expected = brute_force(weights, round(sparsity * total_of(weights)), masks=masks)
    assert after.digest() == expected.digest()


@given(weight_dicts(), SCOPES)
def test_pruning_again_to_the_same_sparsity_changes_nothing(weights, scope):
    pruner = Pruner(scope=scope)
    once = pruner.prune(weights, dense(weights), 0.7)

    assert pruner.prune(weights, once, 0.7).digest() == once.digest()
    assert pruner.prune(weights, once, 0.3).digest() == once.digest()


@given(weight_dicts(), st.data())
def test_pruning_leaves_the_weights_and_the_former_masks_alone(weights, data):
    masks = Masks(data.draw(flags_for(weights)))
    before, digest = {n: w.clone() for n, w in weights.items()}, masks.digest()

    Pruner().prune(weights, masks, 0.8)

    assert all(torch.equal(weights[name], before[name]) for name in weights)
    assert masks.digest() == digest


@pytest.mark.parametrize("scope", ["global", "local"])
def test_zero_counts_never_fall_below_what_is_pruned_already(scope):
    weights = {"conv.weight": torch.rand(100), "fc.weight": torch.rand(10)}
    pruner = Pruner(scope=scope, sparsities=[("fc", 0.5)])
    masks = pruner.prune(weights, dense(weights), 0.8)

    counts = pruner.zero_counts(weights, 0.2, final=0.8, masks=masks)

    assert sorted(counts) == [(("conv.weight",), 80), (("fc.weight",), 5)]


@pytest.mark.parametrize("value", [1.0, -2.5, 0.0, -0.0])
def test_equal_weights_are_pruned_in_the_order_of_names_and_positions(value):
    weights = {"b": torch.full((2, 3), value), "a": torch.full((2, 2, 1, 1), value)}

    masks = Pruner().prune(weights, dense(weights), 0.7)

    assert masks["b"].flatten().tolist() == [False] * 6
    assert masks["a"].flatten().tolist() == [False, True, True, True]


def test_both_zeros_and_both_signs_tie():
    weights = {"a": torch.tensor([-0.0, 0.0, -1.0, 1.0, 0.0, -0.0, 1.0, -1.0])}

    quarter = Pruner().prune(weights, dense(weights), 0.25)["a"].tolist()
    five_eighths = Pruner().prune(weights, dense(weights), 0.625)["a"].tolist()

    assert quarter == [False, False, True, True, True, True, True, True]
    assert five_eighths == [False, False, False, True, False, False, True, True]


@given(weight_dicts(), sparsities(), SCOPES)
def test_masks_do_not_depend_on_the_memory_layout(weights, sparsity, scope):
    plain = {name: weight.contiguous() for name, weight in weights.items()}
    relaid = {
        n: w.contiguous(memory_format=torch.channels_last) if w.dim() == 4 else w
        for n, w in weights.items()
    }

    first, second = (Pruner(scope=scope).prune(w, dense(w), sparsity) for w in (plain, relaid))

    assert first.digest() == second.digest()
    assert all(second[name].stride() == relaid[name].stride() for name in relaid)


@given(weight_dicts(dtypes=(torch.bfloat16, torch.float16)), sparsities(), SCOPES)
def test_reduced_precision_is_ranked_as_the_same_values_in_float32(weights, sparsity, scope):
    wide = {name: weight.float() for name, weight in weights.items()}

    first, second = (Pruner(scope=scope).prune(w, dense(w), sparsity) for w in (weights, wide))

    assert first.digest() == second.digest()


def test_empty_and_single_element_tensors_are_pruned_like_any_other():
    weights = {
        "empty": torch.empty(0, 3),
        "one": torch.tensor([0.5]),
        "scalar": torch.tensor(0.1),
        "many": torch.tensor([1.0, 2.0, 3.0]),
    }

    masks = Pruner().prune(weights, dense(weights), 0.4)

    assert masks.emptied() == ("empty", "one", "scalar")
    assert masks["many"].all()


@pytest.mark.parametrize("scope", ["global", "local"])
def test_nothing_to_prune_gives_nothing_pruned(scope):
    weights = {"empty": torch.empty(0)}

    assert Pruner(scope=scope).prune(weights, dense(weights), 0.9).total == 0


def test_weights_that_are_not_finite_are_kept_longest():
    nan, inf = float("nan"), float("inf")
    weights = {"a": torch.tensor([nan, 1.0, inf, 3e38, -inf, -3e38, 0.0, -nan])}

    masks = Pruner().prune(weights, dense(weights), 0.5)

    assert masks["a"].tolist() == [True, False, True, False, True, False, False, True]


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


@dataclass
class Crowded(Criterion):
    """Scores a weight by its size over how many are kept in its tensor; notes how many in all."""

    rounds: int
    counts: list[int] = field(default_factory=list)

    def scores(self, weights, context):
        self.counts.append(context.masks.kept)
        return {n: w.abs() / max(int(context.masks[n].sum()), 1) for n, w in weights.items()}


def test_the_rounds_of_a_criterion_prune_equal_shares_of_what_is_left():
    weights = {"a": torch.rand(600), "b": torch.rand(400)}
    criterion = Crowded(rounds=3)

    masks = Pruner(criterion).prune(weights, dense(weights), 0.999)

    assert criterion.counts == [1000, 100, 10]
    assert masks.kept == 1


@given(weight_dicts(), st.integers(1, 5), sparsities(below_one=False), sparsities(), SCOPES)
def test_rounds_end_at_exactly_the_counts_of_one_round(weights, rounds, sparsity, start, scope):
    first = Pruner(scope=scope).prune(weights, dense(weights), start)

    one, many = (
        Pruner(Crowded(n), scope=scope).prune(weights, first, sparsity) for n in (1, rounds)
    )

    assert many.pruned == one.pruned == max(first.pruned, round(sparsity * first.total))
    assert all(not (many[name] & ~first[name]).any() for name in weights)
    if scope != "global":
        assert all(many[n].sum() == one[n].sum() for n in weights)


def test_every_round_ranks_by_the_masks_of_the_round_before():
    generator = torch.Generator().manual_seed(0)
    weights = {n: torch.rand(size, generator=generator) for n, size in (("a", 200), ("b", 200))}
    weights["b"] *= 1.2
    once, twice = (Pruner(Crowded(rounds)) for rounds in (1, 2))

    masks = twice.prune(weights, dense(weights), 0.96)

    half = once.prune(weights, dense(weights), 0.8)
    assert masks.digest() == once.prune(weights, half, 0.96).digest()
    assert masks.digest() != once.prune(weights, dense(weights), 0.96).digest()


def tie_free(*sizes):
    """Tensors that together hold 1, 2, 3, ... in random order and with random signs."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randperm(sum(sizes), generator=generator).float() + 1
    values *= torch.randint(0, 2, values.shape, generator=generator) * 2 - 1
    return {f"layer{i}.weight": part for i, part in enumerate(values.split(list(sizes)))}


def torch_modules(weights):
    modules = {}
    for name, weight in weights.items():
        modules[name] = nn.Module()
        modules[name].weight = nn.Parameter(weight.detach().clone())
    return modules


def torch_global(modules, amount):
    pairs = [(module, "weight") for module in modules.values()]
    torch_prune.global_unstructured(pairs, pruning_method=torch_prune.L1Unstructured, amount=amount)


def torch_local(modules, amount):
    for module in modules.values():
        torch_prune.l1_unstructured(module, "weight", amount)


def torch_masks(modules):
    return Masks({name: module.weight_mask.bool() for name, module in modules.items()})


@pytest.mark.parametrize(("scope", "reference"), [("global", torch_global), ("local", torch_local)])
@pytest.mark.parametrize("sparsity", [0.3, 0.5, 0.94, 0.98])
def test_one_shot_masks_equal_those_of_torch(scope, reference, sparsity):
    weights = tie_free(4000, 10_000, 2000)
    modules = torch_modules(weights)

    reference(modules, sparsity)
    masks = Pruner(scope=scope).prune(weights, dense(weights), sparsity)

    assert masks.digest() == torch_masks(modules).digest()


@pytest.mark.parametrize(
    ("scope", "reference", "sizes"),
    [
        ("global", torch_global, (400_000, 599_000, 1000)),
        ("local", torch_local, (3910, 2924, 2574)),
    ],
)
def test_eight_rounds_of_thirty_percent_equal_those_of_torch(scope, reference, sizes):
    weights = tie_free(*sizes)
    modules, masks = torch_modules(weights), dense(weights)
    for k in range(1, 9):
        reference(modules, 0.3)
        masks = Pruner(scope=scope).prune(weights, masks, 1 - 0.7**k)

        theirs = torch_masks(modules)
        assert masks.pruned == theirs.pruned
        assert masks.digest() == theirs.digest()


def test_rounds_whose_relative_amounts_round_apart_equal_those_of_torch_by_count():
    weights = tie_free(700, 313, 90)
    modules, masks = torch_modules(weights), dense(weights)
    for k in range(1, 9):
        before = masks.pruned
        masks = Pruner().prune(weights, masks, 1 - 0.7**k)
        torch_global(modules, masks.pruned - before)

        assert masks.digest() == torch_masks(modules).digest()


@pytest.fixture(scope="module")
def resnet_weights():
    torch.manual_seed(0)
    network = resnet18(num_classes=10)
    return {
        f"{name}.weight": module.weight.detach()
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
    }


def test_global_masks_of_resnet18_equal_those_of_torch(resnet_weights):
    modules = torch_modules(resnet_weights)

    torch_global(modules, 0.98)
    masks = Pruner().prune(resnet_weights, dense(resnet_weights), 0.98)

    assert masks.kept == 223_338
    assert masks.digest() == torch_masks(modules).digest()


def test_local_masks_of_resnet18_equal_those_of_torch_but_for_single_corrections(resnet_weights):
    modules = torch_modules(resnet_weights)

    torch_local(modules, 0.98)
    masks, theirs = (
        Pruner(scope="local").prune(resnet_weights, dense(resnet_weights), 0.98),
        torch_masks(modules),
    )

    assert masks.pruned == round(0.98 * masks.total)
    for name in masks:
        difference = int(masks[name].sum()) - int(theirs[name].sum())
        assert abs(difference) <= 1
        assert int((masks[name] != theirs[name]).sum()) == abs(difference)


def test_masks_of_resnet18_in_channels_last_equal_those_of_the_contiguous_network(resnet_weights):
    relaid = {
        name: weight.contiguous(memory_format=torch.channels_last)
        for name, weight in resnet_weights.items()
    }

    first, second = (Pruner().prune(w, dense(w), 0.98) for w in (resnet_weights, relaid))

    assert first.digest() == second.digest()
