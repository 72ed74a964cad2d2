"""Bad input through the real entry point: one line, non-zero exit, nothing written."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from PIL import Image

from tests.system.entry import Server, small, train

TINY_CONSTRUCTOR = "model.constructor._target_=tests.system.tiny"

# What is asked -> what the one line must say.
CASES = {
    "unknown option": (["pruner=globall"], ["pruner=globall", "global, local", "mean global?"]),
    "unknown key": (["pruner.scop=local"], ["pruner.scop", "no such key", "mean scope?"]),
    "unknown top-level key": (["sed=1"], ["sed", "no such key", "mean seed?"]),
    "unknown group": (["prunr=global"], ["prunr", "mean pruner?"]),
    "seed of a wrong type": (["seed=abc"], ["seed", "'abc'", "Integer"]),
    "seed below zero": (["seed=-1"], ["seed=-1", "an integer in [0, 2.14748e+09]"]),
    "override that is no override": (["pruner"], ["Error parsing override 'pruner'"]),
    "scope": (["pruner.scope=layer"], ["pruner.scope=layer", "global, local"]),
    "sparsity of one": (["schedule.sparsity=1"], ["schedule.sparsity=1", "[0, 1)"]),
    "negative sparsity": (["schedule.sparsity=-0.1"], ["schedule.sparsity=-0.1", "[0, 1)"]),
    "sparsity that is a word": (["schedule.sparsity=high"], ["schedule.sparsity=high", "a number"]),
    "sparsity and amount": (
        ["schedule.sparsity=0.9", "schedule.amount=0.3"],
        ["schedule.sparsity=0.9, schedule.amount=0.3", "exactly one"],
    ),
    "neither sparsity nor amount": (
        ["schedule.sparsity=null"],
        ["schedule.sparsity=None, schedule.amount=None", "exactly one of them"],
    ),
    "amount of one": (["schedule.amount=1"], ["schedule.amount=1", "(0, 1)"]),
    "more events than epochs": (["schedule.steps=5"], ["schedule.steps=5", "finetune.epochs=4"]),
    "span": (["schedule=cubic", "schedule.span=2"], ["schedule.span=2", "(0, 1]"]),
    "unreachable floor": (["pruner.floor=0.1"], ["pruner.floor=0.1", "leaves room"]),
    "pattern that matches nothing": (
        ["pruner.targets.include=[layer9.*]"],
        ["pruner.targets.include=layer9.*", "matches no prunable weight", "layer1.0.conv1"],
    ),
    "override pattern that matches nothing": (
        ["pruner.sparsities=[[fc,0.5]]"],
        ["pruner.sparsities=fc", "matches no prunable weight"],
    ),
    "layer type that does not exist": (
        ["pruner.targets.types=[Conv2D]"],
        ["pruner.targets.types=Conv2D", "mean Conv2d?"],
    ),
    "no prunable weight": (
        [f"{TINY_CONSTRUCTOR}.without_convolutions"],
        ["pruner.targets.types=['Conv2d']", "no prunable weight"],
    ),
    "network that does not exist": (
        [f"{TINY_CONSTRUCTOR}.nothing"],
        ["model", "nothing"],
    ),
    "network that cannot be built": (
        [f"{TINY_CONSTRUCTOR}.broken"],
        ["model.constructor=broken: no such network today"],
    ),
    "batch larger than the data": (
        ["recipe.finetune.batch_size=5000"],
        ["recipe.finetune.batch_size=5000", "1200 training images"],
    ),
    "batch that processes cannot share": (
        ["trainer=ddp_cpu", "recipe.dense.batch_size=63"],
        ["recipe.dense.batch_size=63", "a multiple of the 2 processes"],
    ),
    "epochs": (["recipe.finetune.epochs=0"], ["recipe.finetune.epochs=0", "at least 1"]),
    "learning rate": (
        ["recipe.dense.learning_rate.peak=0"],
        ["recipe.dense.learning_rate.peak=0", "above 0"],
    ),
    "optimizer setting": (
        ["recipe.dense.optimizer.momentum=-1"],
        ["recipe.dense.optimizer", "Invalid momentum value: -1"],
    ),
    "optimizer state": (
        ["recipe.finetune.optimizer_state=drop"],
        ["recipe.finetune.optimizer_state=drop", "mask, reset, keep"],
    ),
    "augmentation": (
        ["recipe.dense.augmentation.flip=up"],
        ["recipe.dense.augmentation.flip=up", "random, alternate, none"],
    ),
    "validation": (["data.validation=train"], ["data.validation=train", "test"]),
    "validation larger than the data": (["data.validation=1400"], ["data.validation=1400"]),
    "device that is not there": (["trainer=gpu"], ["trainer.accelerator=gpu", "no GPU"]),
    "several nodes": (
        ["trainer=ddp_cpu", "trainer.num_nodes=2"],
        ["trainer.num_nodes=2", "allowed is 1", "torchrun"],
    ),
    "precision": (["trainer.precision=8"], ["trainer.precision=8", "bf16-mixed"]),
    "images without a root": (
        ["data=images", "data.root=null"],
        ["data.root=None", "data=cifar10"],
    ),
    "folder that is not there": (
        ["data=images", "data.root=/nowhere"],
        ["data.root=/nowhere", "train/CLASS/*", "data=digits"],
    ),
    "CIFAR-10 that is not there": (
        ["data=cifar10", "data.download=false", "data.root=/nowhere"],
        ["data.root=/nowhere", "data.download=true", "cifar-10-python.tar.gz", "data=images"],
    ),
    "checkpoint that is not there": (
        ["dense.checkpoint=/nowhere.pt"],
        ["dense.checkpoint=/nowhere.pt", "no such file"],
    ),
    "network for other images": (
        ["model.constructor._target_=tests.system.tiny.for_one_pixel"],
        ["model: takes no images of (3, 32, 32)"],
    ),
    "network of other classes": (
        ["model.constructor._target_=tests.system.tiny.of_two_classes"],
        ["model: gives outputs of shape (8, 2) for 8 images", "each of the 10 classes"],
    ),
}
if find_spec("mlflow") is None:
    CASES["logger that is not installed"] = (["logger=mlflow"], ["logger", "mlflow"])


@pytest.fixture(scope="module")
def server():
    with Server() as running:
        yield running


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_one_line_and_leaves_nothing(server, tmp_path, name):
    overrides, says = CASES[name]
    groups = [override.partition("=")[0] for override in overrides]
    defaults = [default for default in small() if default.partition("=")[0] not in groups]
    done = server.train(tmp_path, *defaults, *overrides)
    complaint = [line for line in done.stderr.splitlines() if line.startswith("error: ")]

    assert done.returncode == 1, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert complaint[0].startswith(f"error: {says[0]}"), complaint[0]
    assert all(part in complaint[0] for part in says), complaint[0]
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "dense").exists()


def class_folders(root, a_class=2):
    pixels = np.arange(32 * 32 * 3, dtype=np.uint8).reshape(32, 32, 3)
    for split in ("train", "test"):
        for label in ("cat", "dog"):
            folder = root / split / label
            folder.mkdir(parents=True)
            for number in range(a_class):
                Image.fromarray(pixels + number).save(folder / f"{number}.png")
    return root


def refused(server, tmp_path, *overrides):
    done = server.train(tmp_path, *small(), *overrides)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert not (tmp_path / "run").exists()
    return done.stderr


def test_a_damaged_image_is_named(server, tmp_path):
    root = class_folders(tmp_path / "images")
    whole = (root / "train" / "dog" / "1.png").read_bytes()
    (root / "train" / "dog" / "1.png").write_bytes(whole[: len(whole) // 2])

    said = refused(server, tmp_path, "data=images", f"data.root={root}")
    assert "train/dog/1.png is not a readable image" in said


def test_class_folders_that_differ_between_splits_are_named(server, tmp_path):
    root = class_folders(tmp_path / "images")
    (root / "train" / "horse").mkdir()

    said = refused(server, tmp_path, "data=images", f"data.root={root}")
    assert "class folder horse is in only one of train and test" in said


def test_a_dense_checkpoint_of_another_network_is_refused_by_name(server, tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "other.pt")

    said = refused(server, tmp_path, f"dense.checkpoint={tmp_path / 'other.pt'}")
    assert "is of another network: conv1.weight is missing there and (8, 3, 7, 7) here" in said


def test_a_dense_checkpoint_that_would_run_code_is_refused(server, tmp_path):
    torch.save(print, tmp_path / "code.pt")

    said = refused(server, tmp_path, f"dense.checkpoint={tmp_path / 'code.pt'}")
    assert "cannot be read" in said


def test_a_loss_that_is_not_finite_is_named_with_epoch_step_and_learning_rate(server, tmp_path):
    done = server.train(tmp_path, *small("recipe.dense.learning_rate.peak=1e30"))

    assert done.returncode == 1
    assert "error: loss=" in done.stderr
    assert "epoch 0, step" in done.stderr
    assert "learning rate" in done.stderr


def test_a_sparsity_that_cuts_the_network_off_its_input_is_an_error(server, tmp_path):
    done = server.train(
        tmp_path,
        *small("schedule=one_shot", "schedule.sparsity=0.99999", "recipe.dense.epochs=0"),
    )

    assert done.returncode == 1
    assert "no longer depends on its input" in done.stderr


def test_the_traceback_is_there_for_those_who_ask(tmp_path, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    done = train(tmp_path, *small("schedule.sparsity=2"))

    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: schedule.sparsity=2")
