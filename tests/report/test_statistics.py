from itertools import product
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightprune.report.statistics import (
    MeanStd,
    holm_correction,
    mcnemar_p_value,
    wilson_interval,
)
from lightprune.runs.paired_counts import PairedCounts, mean_interval


def test_mcnemar_by_hand():
    # 8 discordant images, 1 to 7: 2 * (C(8,0) + C(8,1)) / 2^8.
    assert mcnemar_p_value(PairedCounts(100, 1, 7)) == pytest.approx(2 * (1 + 8) / 256)


@pytest.mark.parametrize(("only_first", "only_second"), list(product(range(6), repeat=2)))
def test_mcnemar_against_every_outcome(only_first, only_second):
    n = only_first + only_second
    likely = [comb(n, k) / 2**n for k in range(n + 1)]
    expected = sum(p for p in likely if p <= likely[only_first] * (1 + 1e-9))

    assert mcnemar_p_value(PairedCounts(50, only_first, only_second)) == pytest.approx(expected)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1))
def test_pairs_are_counted_on_the_same_images(pairs):
    first, second = zip(*pairs, strict=True)
    paired = PairedCounts.of(first, second)

    assert paired.difference == pytest.approx((sum(first) - sum(second)) / len(pairs))
    assert paired.interval[0] <= paired.difference <= paired.interval[1]
    assert mcnemar_p_value(PairedCounts.of(second, first)) == pytest.approx(mcnemar_p_value(paired))


def test_the_paired_interval_by_hand():
    # 1,000 images, 30 to 10, and one more each: 20/1002 +- 1.96 * sqrt(42 - 400 / 1002) / 1002.
    low, high = PairedCounts(1000, 30, 10).interval

    assert (high + low) / 2 == pytest.approx(20 / 1002)
    assert (high - low) / 2 == pytest.approx(1.95996 * sqrt(42 - 400 / 1002) / 1002, rel=1e-4)


def test_networks_that_agree_on_all_images_may_differ_on_others():
    low, high = PairedCounts(10_000, 0, 0).interval

    assert -0.0005 < low < -0.0001
    assert 0.0001 < high < 0.0005


def test_wilson_by_its_textbook_values():
    assert wilson_interval(0, 10) == pytest.approx((0.0, 0.27753), abs=1e-5)
    assert wilson_interval(8690, 10000) == pytest.approx((0.86225, 0.87547), abs=1e-5)


def test_holm_by_hand():
    assert holm_correction([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.09, 0.09, 0.5])
    assert holm_correction([0.9, 0.8]) == [1.0, 1.0]
    assert holm_correction([]) == []


def test_the_spread_is_the_samples():
    assert MeanStd.of([1.0, 3.0]) == MeanStd(2.0, pytest.approx(sqrt(2)))
    assert MeanStd.of([0.5]).spread is None


@given(
    st.integers(2, 60).flatmap(
        lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=2, max_size=2)
    )
)
def test_of_one_pair_the_interval_of_the_mean_is_that_of_the_pair(pair):
    assert mean_interval([tuple(pair)]) == pytest.approx(PairedCounts.of(*pair).interval)


def test_pairs_that_agree_on_every_image_tell_no_more_than_one():
    first, second = [True] * 30 + [False] * 70, [True] * 20 + [False] * 80

    assert mean_interval([(first, second)] * 5) == pytest.approx(mean_interval([(first, second)]))


def test_seeds_that_err_on_images_of_their_own_narrow_the_interval():
    random = np.random.default_rng(0)
    pairs = [tuple(random.random((2, 1000)) < 0.8) for _ in range(4)]
    (low, high), *single = mean_interval(pairs), *map(mean_interval, ([pair] for pair in pairs))

    assert high - low == pytest.approx(0.5 * np.mean([b - a for a, b in single]), rel=0.05)
