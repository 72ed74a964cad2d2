from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightprune.pruning.criteria import Criterion
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from tests.pruning.pruner.brute_force import brute_force, dense, total_of
from tests.pruning.strategies import ANYTHING, SCOPES, flags_for, sparsities, tensors, weight_dicts


@given(weight_dicts(), sparsities(below_one=False), SCOPES)
def test_pruning_zeroes_exactly_the_sparsity(weights, sparsity, scope):
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
def test_a_later_global_event_agrees_with_a_sort_of_the_kept_weights(weights, sparsity, data):
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
def test_equal_weights_are_pruned_in_the_order_of_names_and_indices(value):
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


@dataclass
class Crowded(Criterion):
    """Scores a weight by its size over how many are kept in its tensor; notes how many in all."""

    rounds: int
    counts: list[int] = field(default_factory=list)

    def scores(self, weights, context):
        self.counts.append(context.masks.kept)
        return {n: w.abs() / max(int(context.masks[n].sum()), 1) for n, w in weights.items()}


def test_the_rounds_of_a_criterion_prune_equal_shares_of_the_kept_weights():
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
