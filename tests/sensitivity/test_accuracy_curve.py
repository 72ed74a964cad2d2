"""Curves never fall below what was measured in order, and stay near to it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import isotonic_regression

from lightprune.sensitivity.accuracy_curve import Curve
from tests.sensitivity.strategies import DROPS, layers


@given(st.lists(DROPS, max_size=12))
def test_drops_are_the_nearest_sequence_that_never_falls(values):
    expected = isotonic_regression(np.array(values)) if values else []

    drops = list(Curve.through("layer", 100, 0, dict(enumerate(values, 1))).drops)

    assert drops == pytest.approx([0.0, *(max(drop, 0.0) for drop in expected)])
    assert drops == sorted(drops)


def test_a_curve_begins_at_no_loss_and_gains_nothing():
    curve = Curve.through("layer", 100, 10, {50: -0.02, 80: 0.04, 90: 0.02})

    assert curve.zeros == (10, 50, 80, 90)
    assert curve.drops == pytest.approx((0, 0, 0.03, 0.03))


@given(layers(), st.floats(0, 1.1))
def test_no_more_zeros_fit_a_tolerance(curve, tolerance):
    zeros = curve.within(tolerance)

    assert curve.zeros[0] <= zeros <= curve.zeros[-1]
    assert curve.at(zeros) <= tolerance + 1e-9
    if zeros < curve.zeros[-1]:
        assert curve.at(zeros + 1) >= tolerance - 1e-9


@given(layers(), st.data())
def test_a_curve_is_straight_between_its_points(curve, data):
    zeros = data.draw(st.integers(curve.zeros[0], curve.zeros[-1]))

    assert curve.at(zeros) == pytest.approx(np.interp(zeros, curve.zeros, curve.drops))


@given(layers(), st.data())
def test_a_curve_that_is_cut_off_is_the_same_as_far_as_it_goes(curve, data):
    most = data.draw(st.integers(0, curve.weights))
    cut = curve.up_to(most)

    assert cut.zeros[-1] == max(min(most, curve.zeros[-1]), curve.zeros[0])
    for zeros in {*cut.zeros, sum(cut.zeros) // len(cut.zeros)}:
        assert cut.at(zeros) == pytest.approx(curve.at(zeros))
