from collections import Counter

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from lightprune.errors import InputError
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.regrowth import Regrowth
from lightprune.pruning.scopes import SCOPES
from tests.pruning.strategies import tensors

PATTERNS = st.sampled_from(["2:4", "1:4", "1:2", "3:4", "4:8"])


@st.composite
def cases(draw):
    """A pattern and weights, some of which it covers."""
    pattern = draw(PATTERNS)
    of = int(pattern[-1])
    kernels = st.sampled_from([(), (1, 1), (3, 2)])
    covered = st.tuples(st.integers(1, 3), st.integers(1, 2).map(lambda k: k * of), kernels)
    ragged = st.tuples(st.integers(1, 3), st.just(of - 1), kernels)
    shapes = [draw(covered), *draw(st.lists(st.one_of(covered, ragged), max_size=3))]
    return pattern, {
        f"layer{i}.weight": draw(tensors((n_out, n_in, *kernel)))
        for i, (n_out, n_in, kernel) in enumerate(shapes)
    }


def groups_of(tensor, of):
    """Lists of the values at `of` consecutive input channels, one output and kernel position."""
    rows = tensor.movedim(1, -1).reshape(-1, of)
    return rows.tolist()


def test_the_lowest_two_of_each_four_input_channels_go():
    weights = {"conv.weight": torch.tensor([[5.0, -1, 2, -9, 1, 1, 1, 1]]).view(1, 8, 1, 1)}

    masks = Pruner(pattern="2:4").prune(weights, Masks.dense(weights), 0.5)

    expected = [True, False, False, True, False, False, True, True]
    assert masks["conv.weight"].flatten().tolist() == expected


def test_groups_are_of_one_kernel_position():
    weight = torch.tensor([[4.0, 1], [3, 2], [2, 3], [1, 4]]).view(1, 4, 1, 2)

    masks = Pruner(pattern="2:4").prune({"a": weight}, Masks.dense({"a": weight}), 0.5)

    assert masks["a"][0, :, 0, 0].tolist() == [True, True, False, False]
    assert masks["a"][0, :, 0, 1].tolist() == [False, False, True, True]


@given(cases(), st.sampled_from(["global", "local", "erk"]))
def test_every_group_keeps_its_highest_n_and_what_has_no_groups_stays_dense(case, scope):
    pattern, weights = case
    keep, of = map(int, pattern.split(":"))

    masks = Pruner(scope=scope, pattern=pattern).prune(weights, Masks.dense(weights), 1 - keep / of)

    for name, weight in weights.items():
        if weight.shape[1] % of:
            assert masks[name].all()
            continue
        sizes, kept = groups_of(weight.abs(), of), groups_of(masks[name], of)
        for group, flags in zip(sizes, kept, strict=True):
            last = sorted(range(of), key=lambda i: (group[i], i))[: of - keep]
            assert [i for i, flag in enumerate(flags) if not flag] == sorted(last)


@given(cases(), st.sampled_from(["global", "local", "erk"]), st.lists(st.floats(0, 1)), st.data())
def test_events_before_the_last_are_exact_and_leave_every_group_n(case, scope, shares, data):
    pattern, weights = case
    keep, of = map(int, pattern.split(":"))
    final = 1 - keep / of
    pruner, masks = Pruner(scope=scope, pattern=pattern), Masks.dense(weights)
    size = sum(w.numel() for w in weights.values() if not w.shape[1] % of)
    for share in [*sorted(shares), 1.0]:
        weights = {n: data.draw(tensors(tuple(w.shape))) for n, w in weights.items()}
        planned = sum(zeros for _, zeros in pruner.zero_counts(weights, share * final, final=final))
        after = pruner.prune(weights, masks, share * final, final=final)

        assert after.pruned == planned == round(share * final * size)
        assert all(not (after[name] & ~masks[name]).any() for name in weights)
        masks = after
        counts = Counter(
            sum(g) for m in masks.values() if not m.shape[1] % of for g in groups_of(m, of)
        )
        assert min(counts) >= keep
    assert set(counts) == {keep}


def test_unreachable_weights_of_a_group_go_first():
    weights = {"a": torch.tensor([[4.0, 3, 2, 1]])}
    live = {"a": torch.tensor([[False, True, True, True]])}

    masks = Pruner(pattern="2:4", unreachable="first").prune(
        weights, Masks.dense(weights), 0.5, macs=live
    )

    assert masks["a"].tolist() == [[False, True, True, False]]


def test_a_tensor_with_a_sparsity_of_its_own_has_no_pattern():
    weights = {"a": torch.tensor([[4.0, 3, 2, 1]]), "b": torch.tensor([[1.0, 2, 3, 4]])}
    pruner = Pruner(pattern="2:4", sparsities=[("b", 0.75)])

    masks = pruner.prune(weights, Masks.dense(weights), 0.5)

    assert masks["a"].tolist() == [[True, True, False, False]]
    assert masks["b"].tolist() == [[False, False, False, True]]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(("pattern", "sparsity"), [("2:4", 0.98), ("2:4", 0.4), ("1:4", 0.5)])
def test_another_final_sparsity_is_refused_with_the_right_one(scope, pattern, sparsity):
    weights = {"a": torch.rand(8, 8)}
    share = {"2:4": r"0\.5", "1:4": r"0\.75"}[pattern]

    message = rf"pruner\.pattern={pattern}: .*; allowed is schedule\.sparsity={share}$"
    with pytest.raises(InputError, match=message):
        Pruner(scope=scope, pattern=pattern).zero_counts(weights, 0.3, final=sparsity)


def test_a_pattern_that_covers_nothing_is_refused():
    weights = {"stem.weight": torch.rand(8, 3, 3, 3), "bias": torch.rand(8)}

    with pytest.raises(InputError, match=r"pruner\.pattern=2:4: no prunable weight"):
        Pruner(pattern="2:4").zero_counts(weights, 0.5)


@pytest.mark.parametrize("text", ["4:2", "2:2", "0:4", "2", "2:4:8", "a:b", "", 124, True, "2:4 "])
def test_what_is_no_pattern_is_refused(text):
    with pytest.raises(InputError, match=r"pruner\.pattern=.*: allowed is N:M.*, or null"):
        Pruner(pattern=text)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"floor": 0.6}, r"pruner\.floor=0\.6: pruner\.pattern=2:4 keeps 0\.5 of each"),
        ({"cap": 0.4}, r"pruner\.cap=0\.4: pruner\.pattern=2:4 keeps 0\.5 of each"),
        ({"weights": "shuffle"}, r"pruner\.pattern=2:4 with pruner\.weights=shuffle: cannot be"),
        ({"regrowth": Regrowth()}, r"pruner\.pattern=2:4 with pruner\.regrowth: cannot be"),
    ],
)
def test_what_would_break_a_pattern_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Pruner(pattern="2:4", **settings)


@given(cases())
def test_patterns_do_not_depend_on_the_memory_layout(case):
    pattern, weights = case
    keep, of = map(int, pattern.split(":"))
    assume(any(w.dim() == 4 for w in weights.values()))
    relaid = {
        n: w.contiguous(memory_format=torch.channels_last) if w.dim() == 4 else w
        for n, w in weights.items()
    }

    first, second = (
        Pruner(pattern=pattern).prune(w, Masks.dense(w), 1 - keep / of) for w in (weights, relaid)
    )

    assert first.digest() == second.digest()
