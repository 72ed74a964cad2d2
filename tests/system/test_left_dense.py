"""Weights that cannot be pruned, through the real entry point: said before, recorded after."""

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
