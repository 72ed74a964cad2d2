import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightprune.errors import InputError
from lightprune.pruning.criteria import Inverted, Magnitude
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner

SHARES = st.lists(st.floats(0.05, 0.95), min_size=1, max_size=3).map(sorted)


def weights(seed):
    generator = torch.Generator().manual_seed(seed)
    sizes = {"a": (8, 4, 3, 3), "b": (16, 8), "c": (5,)}
    return {n: torch.randn(s, generator=generator) for n, s in sizes.items()}


def zeros(masks):
    return {name: int((~mask).sum()) for name, mask in masks.items()}


@given(seed=st.integers(0, 99), shares=SHARES, scope=st.sampled_from(["global", "local"]))
def test_a_shuffle_keeps_the_counts_of_the_first_event_and_never_brings_a_weight_back(
    seed, shares, scope
):
    here = weights(seed)
    masks = Masks.dense(here)
    for number, share in enumerate(shares):
        plain = Pruner(scope=scope).prune(here, masks, share)
        shuffled = Pruner(scope=scope, weights="shuffle", seed=seed).prune(here, masks, share)

        assert zeros(shuffled) == zeros(plain)
        assert all(bool((masks[name] | ~shuffled[name]).all()) for name in here)
        if number == 0 and 10 < shuffled.pruned < shuffled.total - 10:
            assert shuffled.digest() != plain.digest()
        masks = shuffled


def test_a_shuffle_of_six_weights_stays_in_the_layer_that_loses_them():
    here = {"a": torch.tensor([0.1, 3.0, -0.2, 4.0]), "b": torch.tensor([5.0, 6.0])}
    dense, found = Masks.dense(here), set()
    for seed in range(40):
        masks = Pruner(weights="shuffle", seed=seed).prune(here, dense, 1 / 3)
        assert masks["b"].all()
        found.add(tuple(masks["a"].tolist()))

    assert len(found) == 6
    assert all(sum(kept) == 2 for kept in found)


def test_shuffles_depend_on_their_seed_alone():
    here = weights(0)
    masks = [
        Pruner(weights="shuffle", seed=s).prune(here, Masks.dense(here), 0.5) for s in (0, 0, 1)
    ]

    assert masks[0].digest() == masks[1].digest() != masks[2].digest()


def test_inverted_magnitude_prunes_the_largest():
    here = {"a": torch.tensor([3.0, -1.0, 0.5, -4.0])}
    masks = Pruner(Inverted(Magnitude())).prune(here, Masks.dense(here), 0.5)

    assert masks["a"].tolist() == [False, True, True, False]


def test_what_is_no_criterion_cannot_be_inverted():
    with pytest.raises(
        InputError,
        match=r"pruner.criterion.criterion=l1: allowed is a lightprune.pruning.Criterion",
    ):
        Inverted("l1")
