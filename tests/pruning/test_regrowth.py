import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from lightprune.errors import InputError
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.regrowth import Regrowth
from tests.pruning.probe import PlainProbe
from tests.pruning.strategies import flags_for, weight_dicts


@dataclass
class FixedGradients:
    """A Probe of given gradients."""

    gradients: dict

    def gradient_scores(self, score, batches, masks):
        return {n: batches * score(torch.zeros_like(g), g) for n, g in self.gradients.items()}


def flags(*kept, size=6):
    return Masks({"a": torch.tensor([i in kept for i in range(size)])})


def after(weights, masks, gradients, *, sparsity=0.5, progress=0.0, **settings):
    """The next mask, as the positions that it keeps."""
    pruner = Pruner(regrowth=Regrowth(fraction=1 / 3), **settings)
    probe = FixedGradients({"a": torch.tensor(gradients)})
    masks = pruner.prune(
        {"a": torch.tensor(weights)}, masks, sparsity, probe=probe, progress=progress
    )
    return masks["a"].nonzero().flatten().tolist()


def test_the_lowest_weight_makes_room_for_the_pruned_one_of_the_largest_gradient():
    weights = [0.9, -0.1, 0.5, 0.0, 0.0, 0.0]

    kept = after(weights, flags(0, 1, 2), [9.0, 1.0, 9.0, 2.0, -3.0, 0.5])

    assert kept == [0, 2, 4]


def test_one_that_was_just_dropped_may_come_back():
    weights = [0.9, -0.1, 0.5, 0.0, 0.0, 0.0]

    kept = after(weights, flags(0, 1, 2), [9.0, -5.0, 9.0, 2.0, -3.0, 0.5])

    assert kept == [0, 1, 2]


def test_equal_gradients_come_back_in_the_order_of_indices():
    weights = [0.9, -0.1, 0.5, 0.0, 0.0, 0.0]

    kept = after(weights, flags(0, 1, 2), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0])

    assert kept == [0, 2, 3]


def test_a_rising_sparsity_prunes_and_exchanges_in_one_event():
    weights = [0.9, -0.1, 0.5, 0.4, 0.3, 0.0]

    kept = after(weights, flags(0, 1, 2, 3, 4), [0.0, 0.0, 0.0, 0.0, 0.0, 1.0])

    # Three stay after pruning 0.1 and 0.3; then 0.4 makes room for the last.
    assert kept == [0, 2, 5]


@pytest.mark.parametrize("progress", [0.0, 1.0])
def test_the_first_event_only_prunes(progress):
    weights = [0.9, -0.1, 0.5, 0.4, 0.3, 0.2]

    kept = after(weights, flags(0, 1, 2, 3, 4, 5), [0.0] * 5 + [1.0], progress=progress)

    assert kept == [0, 2, 3]


def test_the_share_fades_as_a_cosine():
    shares = [Regrowth(fraction=0.4).fraction_at(p) for p in (0, 1 / 3, 0.5, 2 / 3, 1)]

    assert shares == pytest.approx([0.4, 0.3, 0.2, 0.1, 0.0], abs=1e-12)
    assert shares[-1] == 0


def exchanged(weight, kept, gradient, share):
    """One layer in float64: the lowest share goes, as many of the largest gradients come back."""
    weight, gradient = (np.abs(x.double().flatten().numpy()) for x in (weight, gradient))
    kept = kept.flatten().numpy().copy()
    places = np.flatnonzero(kept)
    count = round(share * len(places))
    kept[places[np.argsort(weight[places], kind="stable")[:count]]] = False
    free = np.flatnonzero(~kept)
    kept[free[np.argsort(-gradient[free], kind="stable")[:count]]] = True
    return kept


@pytest.mark.parametrize("scope", ["local", "erk"])
def test_rigl_keeps_every_layers_count_and_grows_what_has_the_largest_gradient(scope):
    generator = torch.Generator().manual_seed(0)
    shapes = {"stem": (8, 3, 3, 3), "mid": (16, 8, 3, 3), "head": (10, 16)}
    regrowth, events = Regrowth(), 6
    pruner, masks, counts = Pruner(scope=scope, regrowth=regrowth), None, set()
    for i in range(events):
        weights = {n: torch.randn(s, generator=generator) for n, s in shapes.items()}
        masks = masks or Masks.dense(weights)
        masks.apply_(weights)
        gradients = {n: torch.randn(s, generator=generator) for n, s in shapes.items()}
        event = {"probe": FixedGradients(gradients), "progress": i / events}
        before, masks = masks, pruner.prune(weights, masks, 0.8, final=0.8, **event)

        counts.add(tuple(int(mask.sum()) for mask in masks.values()))
        assert masks.pruned == round(0.8 * masks.total)
        for name in shapes if i else ():
            share = regrowth.fraction_at(i / events)
            expected = exchanged(weights[name], before[name], gradients[name], share)
            assert np.array_equal(masks[name].flatten().numpy(), expected)
            assert (masks[name] & ~before[name]).any()
    assert len(counts) == 1


def test_a_global_exchange_moves_weights_between_layers():
    weights = {"a": torch.tensor([5.0, 4.0, 3.0, 0.0]), "b": torch.tensor([2.0, 1.0, 0.0, 0.0])}
    masks = Masks({name: weight > 0 for name, weight in weights.items()})
    probe = FixedGradients({"a": torch.tensor([0.0, 0, 0, 9]), "b": torch.tensor([0.0, 0, 1, 1])})
    pruner = Pruner(regrowth=Regrowth(fraction=0.2))

    masks = pruner.prune(weights, masks, 3 / 8, probe=probe, progress=0.0)

    assert masks["a"].tolist() == [True, True, True, True]
    assert masks["b"].tolist() == [True, False, False, False]


def test_gradients_are_those_of_the_pruned_network():
    torch.manual_seed(0)
    network = nn.Linear(6, 2, bias=False)
    weights = {"weight": network.weight.detach()}
    masks = Pruner().prune(weights, Masks.dense(weights), 0.5)
    masks.apply_(weights)
    inputs, targets = torch.randn(8, 6), torch.arange(8) % 2
    pruner = Pruner(regrowth=Regrowth(fraction=1.0, batches=2))
    batches = [(inputs[:4], targets[:4]), (inputs[4:], targets[4:])]

    probe = PlainProbe(network, batches)
    chosen = pruner.prune(weights, masks, 0.5, probe=probe, progress=0.0)

    # All six are dropped: six of the twelve come back, by the softmax's gradient in float64.
    values, gradient = weights["weight"].double(), torch.zeros(2, 6, dtype=torch.float64)
    for x, y in batches:
        wrong = torch.softmax(x.double() @ values.T, 1) - nn.functional.one_hot(y, 2)
        gradient += wrong.T @ x.double() / len(x)
    threshold = gradient.abs().flatten().topk(6).values[-1]
    assert torch.equal(chosen["weight"], gradient.abs() >= threshold)
    assert probe.calls == 1


@given(
    weight_dicts(),
    st.sampled_from(["global", "local", "erk"]),
    st.tuples(st.integers(0, 8), st.integers(0, 8)).map(lambda k: (k[0] / 16, (16 - k[1]) / 16)),
    st.floats(0, 1),
    st.data(),
)
def test_counts_are_exact_and_bounds_and_unreachable_weights_respected(
    weights, scope, bounds, progress, data
):
    floor, cap = bounds
    sizes = [w.numel() for w in weights.values()]
    lows = [math.ceil(floor * n) for n in sizes]
    highs = [max(math.floor(cap * n), low) for n, low in zip(sizes, lows, strict=True)]
    counts = data.draw(st.lists(st.integers(sum(lows), sum(highs)), min_size=2, max_size=2))
    final, first = (1 - kept / max(sum(sizes), 1) for kept in sorted(counts))
    settings = {"scope": scope, "floor": floor, "cap": cap, "unreachable": "first"}
    live = data.draw(flags_for(weights))
    gradients = {n: torch.rand(w.shape) - 0.5 for n, w in weights.items()}
    before = Pruner(**settings).prune(weights, Masks.dense(weights), first, macs=live)

    pruner = Pruner(
        **settings, regrowth=Regrowth(fraction=data.draw(st.floats(0, 1, exclude_min=True)))
    )
    masks = pruner.prune(
        weights, before, final, macs=live, probe=FixedGradients(gradients), progress=progress
    )

    assert masks.pruned == round(final * masks.total)
    for (name, mask), low, high in zip(masks.items(), lows, highs, strict=True):
        assert not (mask & ~before[name] & ~live[name]).any()
        assert low <= int(mask.sum()) <= high + len(sizes)


def test_random_regrowth_depends_on_the_seed_and_the_event_alone():
    generator = torch.Generator().manual_seed(0)
    weights = {"a": torch.randn(40, 40, generator=generator)}
    before = Pruner().prune(weights, Masks.dense(weights), 0.5)
    settings = [(0, 0.25), (0, 0.25), (1, 0.25), (0, 0.5)]

    first, again, seeded, later = (
        Pruner(regrowth=Regrowth(grow="random"), seed=seed).prune(
            weights, before, 0.5, progress=progress
        )
        for seed, progress in settings
    )

    assert first.digest() == again.digest()
    assert first.pruned == seeded.pruned == before.pruned
    grown = [m["a"] & ~before["a"] for m in (first, seeded, later)]
    assert all(g.any() for g in grown)
    assert not torch.equal(grown[0], grown[1])
    assert (grown[2] & ~grown[0]).any()


def test_regrowth_by_gradient_without_a_network_is_refused():
    weights = {"a": torch.rand(10)}
    before = Pruner().prune(weights, Masks.dense(weights), 0.5)

    with pytest.raises(TypeError, match="probe"):
        Pruner(regrowth=Regrowth()).prune(weights, before, 0.5, progress=0.5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fraction": 1.1}, r"pruner\.regrowth\.fraction=1\.1: allowed is a number in \(0, 1\]"),
        ({"fraction": "a"}, r"pruner\.regrowth\.fraction=a: allowed is a number in \(0, 1\]"),
        ({"grow": "gradients"}, r"pruner\.regrowth\.grow=gradients: .*did you mean gradient\?"),
        ({"batches": 0}, r"pruner\.regrowth\.batches=0: allowed is an integer at least 1"),
    ],
)
def test_a_bad_setting_is_refused_with_its_name_its_value_and_what_is_allowed(settings, message):
    with pytest.raises(InputError, match=message):
        Regrowth(**settings)


def test_regrowth_and_shuffled_masks_exclude_each_other():
    with pytest.raises(InputError, match=r"pruner\.weights=shuffle with pruner\.regrowth"):
        Pruner(regrowth=Regrowth(), weights="shuffle")
