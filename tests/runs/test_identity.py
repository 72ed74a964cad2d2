"""What makes two configs the same: not where the package keeps its classes."""

import pytest

from lightprune.runs.identity import config_hash, diff_configs, identity_of


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


def scheduled(kind, **settings):
    return identity_of({"schedule": {"_target_": f"lightprune.pruning.{kind}", **settings}})


def test_a_span_over_the_whole_is_left_out_where_it_came_later():
    assert (
        scheduled("MultiStep", span=1.0) == scheduled("MultiStep", span=1) == scheduled("MultiStep")
    )
    assert scheduled("MultiStep", span=0.5) != scheduled("MultiStep")
    assert scheduled("Cubic", span=1.0) != scheduled("Cubic")


def test_what_an_identity_leaves_out_differs_by_its_value():
    one, other = scheduled("MultiStep"), scheduled("MultiStep", span=0.5)

    assert diff_configs(one, other) == [("schedule.span", 1.0, 0.5)]
    taught = {"_target_": "lightprune.training.Distillation", "weight": 0.5, "temperature": 4.0}
    with_teacher, without = (
        {"recipe": {"dense": {}, "finetune": f}} for f in ({"distillation": taught}, {})
    )
    assert diff_configs(without, with_teacher) == [
        ("recipe.finetune.distillation.weight", 0.0, 0.5)
    ]
