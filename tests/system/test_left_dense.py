"""Weights that cannot be pruned, and MACs that cannot be counted: said before, recorded after."""

from lightprune.runs.finished_run import read_run
from tests.system.entry import record, small
from tests.system.tiny import __name__ as tiny

OVERRIDES = small("recipe.dense.epochs=0", "recipe.finetune.epochs=1", "schedule=one_shot")


def test_what_is_left_dense_is_in_plan_and_record(server, tmp_path):
    constructor = f"model.constructor._target_={tiny}.partly_dense"
    done = server.train(tmp_path, *OVERRIDES, constructor)

    assert done.returncode == 0, done.stderr
    assert "left dense: 2,904 weights of 3 layers (frozen: conv1, " in done.stdout
    frozen, computed = record(tmp_path / "run")["left_dense"]
    assert (frozen["reason"], frozen["layers"]) == ("frozen", ["conv1", "layer2.0.conv1"])
    assert (computed["weights"], computed["layers"]) == (576, ["layer1.0.conv1"])


def test_unknown_macs_are_unknown_in_plan_result_and_record(server, tmp_path):
    constructor = f"model.constructor._target_={tiny}.gated"
    done = server.train(tmp_path, *OVERRIDES, constructor, "schedule.sparsity=0.5")

    assert done.returncode == 0, done.stderr
    assert "unknown MACs an image" in done.stdout
    assert "factor of a matrix product or convolution): gate.weight\n" in done.stdout
    cost = record(tmp_path / "run")["cost"]
    assert (cost["macs"], cost["macs_live"], cost["mac_density"]) == (None, None, None)
    run = read_run(tmp_path / "run", "run", ())
    assert run.cost.macs is None
    assert run.layers["conv1.weight"].macs > 0
    assert run.reached_mac_share is None
