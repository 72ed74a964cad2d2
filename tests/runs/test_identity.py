"""What makes two configs the same: not where the package keeps its classes, nor how one types."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lightprune.runs.identity import REAL_NUMBERS, config_hash, diff_configs, identity_of


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


def test_a_real_number_may_be_typed_as_a_whole_one():
    def phase(cutmix, first, epochs=3):
        rates = {"learning_rate": {"milestones": [first, 0.5]}}
        return {
            "recipe": {"dense": {"augmentation": {"cutmix": cutmix}, "epochs": epochs, **rates}}
        }

    assert config_hash(phase(0, 1)) == config_hash(phase(0.0, 1.0))
    assert config_hash(phase(1, 1)) != config_hash(phase(True, 1))
    assert config_hash(phase(0, 1)) != config_hash(phase(0, 1, epochs=3.0))
    assert config_hash(phase(0, 1)) != config_hash(phase(0.5, 1))
    assert config_hash({"sparsities": [["c", 0]]}) == config_hash({"sparsities": [["c", 0.0]]})
    assert config_hash({"peak": 10**400}) != config_hash({"peak": 1})


def numbers(node, key):
    if isinstance(node, dict):
        return [each for name, value in node.items() for each in numbers(value, name)]
    if isinstance(node, list):
        return [each for value in node for each in numbers(value, key)]
    return [(key, node)] if isinstance(node, int | float) and not isinstance(node, bool) else []


def test_every_setting_of_the_options_is_known_as_real_or_whole():
    options = (Path(__file__).parents[2] / "configs").rglob("*.yaml")
    nodes = [OmegaConf.to_container(OmegaConf.load(path)) for path in options]
    found = [each for node in nodes for each in numbers(node, "")]

    assert {key for key, value in found if isinstance(value, float)} <= REAL_NUMBERS
    assert not REAL_NUMBERS & {key for key, value in found if isinstance(value, int)}


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
