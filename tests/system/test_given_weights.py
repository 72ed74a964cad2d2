"""A run from another trainer's checkpoint: a new head, frozen layers, zeros that stay."""

import pytest
import torch
from safetensors.torch import load_file

from lightprune.pruning.targets import Targets
from tests.system.entry import record, shortest, small
from tests.system.tiny import tiny_resnet

FROZEN = ("conv1", "layer1.0.conv1", "layer1.0.conv2")
NAME = "epoch=3-step=40.ckpt"  # As Lightning names it.


@pytest.fixture(scope="module")
def started(server, tmp_path_factory):
    """The folder of a finished run, the weights it was given, and what it printed."""
    folder = tmp_path_factory.mktemp("given")
    given = tiny_resnet(4).state_dict()
    given["layer2.0.conv1.weight"][:, ::2] = 0
    given["layer1.0.conv1.weight"][0] = 0
    content = {f"model.{name}": tensor for name, tensor in given.items()}
    torch.save({"epoch": 3, "state_dict": {**content, "loss.weight": torch.ones(4)}}, folder / NAME)
    done = server.train(folder, *overrides(folder))
    assert done.returncode == 0, done.stderr
    return folder, given, done.stdout.splitlines()


def overrides(folder, *more):
    return shortest(
        f"dense.checkpoint='{folder / NAME}'",
        "dense.fresh=[fc.*]",
        "dense.keep_zeros=true",
        "recipe.finetune.freeze=[conv1,layer1.*]",
        "schedule.sparsity=0.6",
        *more,
    )


def test_the_plan_says_what_becomes_of_the_given_weights(started):
    _, given, lines = started
    zeros, free = given["layer2.0.conv1.weight"], [given[f"{layer}.weight"] for layer in FROZEN]
    held, count = zeros.numel() // 2, sum(weight.numel() for weight in free)

    assert f"drawn anew, not taken from {NAME}: fc.weight, fc.bias" in lines
    assert f"in {NAME} beside the network, and not read: loss.weight" in lines
    assert f"left dense: {count:,} weights of 3 layers (frozen: {', '.join(FROZEN)})" in lines
    assert any(
        line.startswith(f"{held:,} prunable weights (")
        and line.endswith(" are given as zero; dense.keep_zeros holds all of them")
        for line in lines
    )


def test_the_new_head_is_trained_before_the_first_event(started):
    folder, given, lines = started
    (dense,) = (folder / "dense").glob("*/model.safetensors")
    state = load_file(dense)

    assert record(folder / "run")["dense"]["epochs"] == 1
    assert state["fc.weight"].shape == (10, 32)
    assert any(line.startswith("dense epoch 1/1") for line in lines)
    assert not torch.equal(state["conv1.weight"], given["conv1.weight"])


def test_given_zeros_stay_and_frozen_layers_keep_their_dense_weights(started):
    folder, given, _ = started
    dense = load_file(next((folder / "dense").glob("*/model.safetensors")))
    final = load_file(folder / "run" / "model.safetensors")
    names = [n for n in Targets().find(tiny_resnet()) if n.removesuffix(".weight") not in FROZEN]
    event = record(folder / "run")["events"][0]

    for state in (dense, final):
        for name in ("layer1.0.conv1.weight", "layer2.0.conv1.weight"):
            assert not state[name][given[name] == 0].any()
    for layer in FROZEN:
        assert torch.equal(final[f"{layer}.weight"], dense[f"{layer}.weight"])
    zeros = sum(int((final[name] == 0).sum()) for name in names)
    assert zeros == event["pruned"] == round(0.6 * sum(final[name].numel() for name in names))


def test_our_own_checkpoint_is_one_to_start_from(server, started, tmp_path):
    folder, _, _ = started
    own = folder / "run" / "checkpoints" / "last.ckpt"
    more = (f"dense.checkpoint={own}", "dense.keep_zeros=true", "plan_only=true")
    done = server.train(tmp_path, *small(*more, "schedule.sparsity=0.9"))
    zeros = record(folder / "run")["events"][0]["pruned"]

    assert done.returncode == 0, done.stderr
    # Those of a frozen layer are prunable here.
    final = load_file(folder / "run" / "model.safetensors")
    frozen = int((final[f"{FROZEN[1]}.weight"] == 0).sum())
    assert f"\n{zeros + frozen:,} prunable weights (" in done.stdout


def test_a_schedule_with_fewer_zeros_than_are_held_is_refused(server, started, tmp_path):
    folder, _, _ = started
    more = ("schedule.sparsity=0.01", "plan_only=true")
    done = server.train(tmp_path, *overrides(folder, *more))

    assert done.returncode == 1
    assert done.stderr.startswith("error: dense.keep_zeros=true: ")
    assert "are given as zero, and the schedule ends with" in done.stderr
    assert done.stderr.count("\n") == 1
