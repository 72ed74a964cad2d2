import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lightprune.pruning.radix_select import k_smallest
from tests.pruning.strategies import COMMON, flags_for, weight_dicts

CHUNK = 1 << 18
SCORES = st.one_of(COMMON, st.floats(width=32, allow_nan=False))


def sorted_reference(scores, among, count):
    """A stable sort of all candidates in float64: names first, positions in row-major order."""
    flat = np.concatenate([s.double().flatten().numpy() for s in scores.values()])
    open_places = np.flatnonzero(np.concatenate([m.flatten().numpy() for m in among.values()]))
    order = open_places[np.argsort(flat[open_places], kind="stable")]
    marks = np.zeros(flat.size, dtype=bool)
    marks[order[:count]] = True
    parts = np.split(marks, np.cumsum([s.numel() for s in scores.values()])[:-1])
    return {
        n: torch.from_numpy(p).reshape(scores[n].shape) for n, p in zip(scores, parts, strict=True)
    }


@given(weight_dicts(elements=SCORES), st.data())
def test_lowest_agrees_with_a_stable_sort(scores, data):
    among = data.draw(flags_for(scores))
    count = data.draw(st.integers(0, sum(int(mask.sum()) for mask in among.values())))

    chosen = k_smallest(scores, among, count)

    expected = sorted_reference(scores, among, count)
    assert list(chosen) == list(scores)
    assert all(torch.equal(chosen[name], expected[name]) for name in scores)


@given(weight_dicts(elements=SCORES), st.data())
def test_lowest_never_depends_on_the_memory_layout(scores, data):
    among = data.draw(flags_for(scores))
    count = data.draw(st.integers(0, sum(int(mask.sum()) for mask in among.values())))
    contiguous = {name: tensor.contiguous() for name, tensor in scores.items()}

    chosen, other = k_smallest(scores, among, count), k_smallest(contiguous, among, count)

    assert all(torch.equal(chosen[name], other[name]) for name in scores)
    assert all(marks.is_contiguous() for marks in chosen.values())


@given(weight_dicts(elements=SCORES), st.data())
def test_lowest_leaves_its_inputs_alone(scores, data):
    among = data.draw(flags_for(scores))
    before = [tensor.clone() for tensor in (*scores.values(), *among.values())]

    k_smallest(scores, among, sum(int(mask.sum()) for mask in among.values()) // 2)

    after = (*scores.values(), *among.values())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("count", [1, CHUNK - 1, CHUNK, CHUNK + 3, 2 * CHUNK + 5, 3 * CHUNK])
def test_ties_across_chunks_and_tensors_go_by_index(count):
    scores = {"a": torch.ones(2 * CHUNK + 5), "b": torch.ones(CHUNK)}
    among = {name: torch.ones(s.shape, dtype=torch.bool) for name, s in scores.items()}

    chosen = torch.cat(list(k_smallest(scores, among, count).values()))

    assert chosen[:count].all()
    assert not chosen[count:].any()


def test_large_tensors_with_many_ties_agree_with_a_stable_sort():
    generator = torch.Generator().manual_seed(0)
    scores = {
        "a": torch.randint(-40, 40, (2 * CHUNK + 77,), generator=generator).float(),
        "b": torch.randint(-40, 40, (513, 511), generator=generator).float(),
    }
    among = {n: torch.rand(s.shape, generator=generator) < 0.7 for n, s in scores.items()}

    chosen = k_smallest(scores, among, 300_001)

    expected = sorted_reference(scores, among, 300_001)
    assert all(torch.equal(chosen[name], expected[name]) for name in scores)


def test_large_tensors_of_normal_draws_agree_with_a_stable_sort():
    generator = torch.Generator().manual_seed(1)
    scores = {"a": torch.randn(CHUNK + 1, generator=generator)}
    among = {"a": torch.ones(CHUNK + 1, dtype=torch.bool)}

    chosen = k_smallest(scores, among, 200_000)

    assert torch.equal(chosen["a"], sorted_reference(scores, among, 200_000)["a"])


def test_infinite_scores_are_chosen_before_what_is_not_among_the_candidates():
    scores = {"a": torch.tensor([1.0, torch.inf, 2.0, torch.inf])}
    among = {"a": torch.tensor([False, True, True, True])}

    assert k_smallest(scores, among, 2)["a"].tolist() == [False, True, True, False]
    assert k_smallest(scores, among, 3)["a"].tolist() == [False, True, True, True]


def test_both_zeros_are_one_score():
    scores = {"a": torch.tensor([0.0, -0.0, 0.0, -0.0])}
    among = {"a": torch.ones(4, dtype=torch.bool)}

    assert k_smallest(scores, among, 2)["a"].tolist() == [True, True, False, False]


def test_neighbouring_subnormal_scores_are_told_apart():
    scores = {"a": torch.arange(9, 0, -1, dtype=torch.int32).view(torch.float32)}
    among = {"a": torch.ones(9, dtype=torch.bool)}

    assert k_smallest(scores, among, 4)["a"].tolist() == [False] * 5 + [True] * 4


def test_zeros_and_the_smallest_number_above_them_are_told_apart():
    tiny = torch.finfo(torch.float32).smallest_normal * torch.finfo(torch.float32).eps
    scores = {"a": torch.tensor([tiny, 0.0, tiny, 0.0, tiny])}
    among = {"a": torch.ones(5, dtype=torch.bool)}

    assert k_smallest(scores, among, 3)["a"].tolist() == [True, True, False, True, False]
