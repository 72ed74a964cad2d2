"""What a run's record may have built: this package's data classes, and nothing else."""

import pytest

from lightprune.errors import InputError
from lightprune.pruning.criteria import Inverted, Magnitude, Random
from lightprune.runs.instantiate import instantiate_safely

CRITERIA = "lightprune.pruning"


def test_settings_become_objects_and_nodes_may_lie_in_nodes():
    inner = {"_target_": f"{CRITERIA}.Random", "seed": 3}
    node = {"_target_": f"{CRITERIA}.Inverted", "criterion": inner}

    assert instantiate_safely(node, Inverted, "criterion") == Inverted(Random(3))


@pytest.mark.parametrize("module", ["", ".criteria", ".criteria.random"])
def test_a_class_is_known_by_its_package_and_by_the_module_that_defines_it(module):
    node = {"_target_": f"lightprune.pruning{module}.Random", "seed": 3}

    assert instantiate_safely(node, Random, "criterion") == Random(3)


@pytest.mark.parametrize(
    "target",
    [
        "os.mkdir",
        "lightprune.files.write_text",
        "lightprune.launch.worker.main",
        "lightprune.pruning.masks.np.load",
        "lightprune.pruning.masks.Masks",
        "lightprune.training.fit.evaluate_test_set",
        "lightprune.data.sources.CIFAR10",
        "lightprune.training.nothing.Here",
        "lightprune.pruningos.mkdir",
        "",
        None,
    ],
)
def test_nothing_else_is_built(tmp_path, target):
    node = {"_target_": target, "path": str(tmp_path / "marker")}
    with pytest.raises(InputError, match="not built because a file says so"):
        instantiate_safely(node, object, "criterion")

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "said"), [({"norm": "l3"}, "norm=l3"), ({"size": 3}, "cannot be built")]
)
def test_wrong_settings_are_one_line(settings, said):
    with pytest.raises(InputError, match=said):
        instantiate_safely(
            {"_target_": f"{CRITERIA}.Magnitude", **settings}, Magnitude, "criterion"
        )


def test_a_wrong_kind_is_one_line():
    with pytest.raises(InputError, match="makes no Random"):
        instantiate_safely({"_target_": f"{CRITERIA}.Magnitude"}, Random, "criterion")
