"""What makes two configs the same: not where the package keeps its classes."""

import pytest

from lightprune.runs.identity import config_hash, diff_configs


def config(target, **settings):
    return {"pruner": {"_target_": target, "floors": [0.1, {"_target_": target}], **settings}}


@pytest.mark.parametrize("place", ["lightprune.Cubic", "lightprune.a.b.Cubic"])
def test_a_class_that_moves_within_the_package_changes_nothing(place):
    here, there = config("lightprune.pruning.Cubic"), config(place)

    assert config_hash(here) == config_hash(there)
    assert diff_configs(here, there) == []


@pytest.mark.parametrize("other", ["lightprune.pruning.Linear", "mine.Cubic", "mine.pruning.Cubic"])
def test_another_class_is_another_config(other):
    here, there = config("lightprune.pruning.Cubic"), config(other)

    assert config_hash(here) != config_hash(there)
    assert ("pruner._target_", "lightprune.pruning.Cubic", other) in diff_configs(here, there)


def test_the_order_of_keys_changes_no_hash():
    assert config_hash({"a": 1, "b": (2, 3)}) == config_hash({"b": [2, 3], "a": 1})
    assert config_hash({"a": 1}) != config_hash({"a": 1.5})
