"""Pruning at initialisation through the real entry point: no dense epoch, any criterion."""

import pytest
import torch
from safetensors.torch import load_file

from tests.system.entry import record, small

OVERRIDES = small("recipe.dense.epochs=0", "recipe.finetune.epochs=1", "schedule=one_shot")


@pytest.mark.parametrize(
    "criterion",
    [
        ["pruner/criterion=snip", "recipe.finetune.recalibrate=2"],
        ["pruner/criterion=synflow", "pruner.criterion.rounds=5", "pruner.weights=rewind"],
    ],
    ids=str,
)
def test_an_untrained_network_is_pruned_and_then_trained(server, tmp_path, criterion):
    done = server.train(tmp_path, *OVERRIDES, "schedule.sparsity=0.9", *criterion)

    assert done.returncode == 0, done.stderr
    run, state = record(tmp_path / "run"), load_file(tmp_path / "run" / "model.safetensors")
    weights = [value for value in state.values() if value.dim() == 4]
    pruned = round(0.9 * sum(weight.numel() for weight in weights))
    assert run["events"][0]["pruned"] == pruned
    assert sum(int((weight == 0).sum()) for weight in weights) >= pruned
    assert (run["events"][0]["recalibrated"] is None) == (len(criterion) == 3)
    assert "\ndense epoch" not in done.stdout
    assert all(bool(torch.isfinite(value).all()) for value in state.values())
