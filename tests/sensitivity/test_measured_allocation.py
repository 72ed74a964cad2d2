"""Allocations are exact in sum, follow one tolerance, and arrive as they are in the pruner."""

import math

import pytest
import torch
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from lightprune.errors import InputError
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from lightprune.sensitivity.accuracy_curve import Curve
from lightprune.sensitivity.measured_allocation import allocate_total, allocate_within, shortest
from lightprune.sensitivity.output import allocation_yaml
from tests.sensitivity.strategies import networks


def total(curves, end):
    return sum(curve.zeros[end] for curve in curves)


@given(networks(), st.data())
def test_a_total_is_met_exactly_at_the_lowest_tolerance_that_allows_it(curves, data):
    zeros = data.draw(st.integers(total(curves, 0), total(curves, -1)))

    found = allocate_total(curves, zeros)

    assert found.total == zeros
    for curve in curves:
        assert curve.zeros[0] <= found.zeros[curve.name] <= curve.zeros[-1]
        assert found.zeros[curve.name] <= curve.within(found.tolerance)
    if found.tolerance:
        assert allocate_within(curves, math.nextafter(found.tolerance, 0)).total < zeros


@given(networks(), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_tolerance_prunes_no_layer_less(curves, one, other):
    low, high = (allocate_within(curves, tolerance).zeros for tolerance in sorted((one, other)))

    assert all(low[name] <= high[name] for name in low)


@given(networks(), st.data())
def test_the_pruner_prunes_as_many_as_are_allocated(curves, data):
    found = allocate_total(curves, data.draw(st.integers(total(curves, 0), total(curves, -1))))
    weights = {curve.name: torch.randn(curve.weights) for curve in curves}
    pairs = yaml.safe_load(allocation_yaml(found))
    sparsity = min(float(found.sparsity), 0.999)

    masks = Pruner(sparsities=pairs).prune(weights, Masks.dense(weights), sparsity)

    assert {name: int((~mask).sum()) for name, mask in masks.items()} == found.zeros


@given(st.integers(1, 10**7), st.data())
def test_a_sparsity_is_as_short_as_its_count_allows(weights, data):
    zeros = data.draw(st.integers(0, weights))
    text = shortest(zeros, weights)

    assert round(float(text) * weights) == zeros
    if len(text) > len("0.1"):
        shorter = len(text) - len("0.1")
        assert round(round(zeros / weights, shorter) * weights) != zeros


def test_layers_that_are_flat_share_what_is_over():
    curves = [Curve("a", 100, (0, 80), (0.0, 0.0)), Curve("b", 200, (0, 160), (0.0, 0.0))]
    found = allocate_total(curves, 120)

    assert found.tolerance == 0
    assert found.zeros == {"a": 40, "b": 80}


def test_sensitive_layers_get_less():
    curves = [Curve("a", 100, (0, 90), (0.0, 0.3)), Curve("b", 100, (0, 90), (0.0, 0.1))]
    found = allocate_total(curves, 60)

    assert found.zeros == {"a": 15, "b": 45}
    assert found.tolerance == pytest.approx(0.05, abs=0.002)


@pytest.mark.parametrize("zeros", [9, 91])
def test_what_was_not_measured_is_not_allocated(zeros):
    with pytest.raises(InputError, match=r"--target=0.*allowed is 0\.1 to 0\.9 "):
        allocate_total([Curve("a", 100, (10, 90), (0.0, 0.1))], zeros)


def test_names_and_numbers_survive_yaml_and_the_command_line():
    curves = [Curve(name, 10**6, (0, 10), (0.0, 0.1)) for name in ("0.weight", "a.1.b.weight")]
    found = allocate_total(curves, 3)
    pairs = [[name, float(text)] for name, text in found.sparsities.items()]
    line = ",".join(f"[{name},{text}]" for name, text in found.sparsities.items())

    assert [share for _, share in pairs] == [2e-6, 1e-6]
    assert yaml.safe_load(allocation_yaml(found)) == pairs
    parsed = OverridesParser.create().parse_override(f"pruner.sparsities=[{line}]")
    assert parsed.value() == pairs
