"""Overrides that a run would never read are errors, each of them with what is allowed instead."""

import json
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from lightprune.errors import InputError
from lightprune.experiment.config import load_settings
from lightprune.experiment.schema import register_configs
from lightprune.experiment.unread_settings import check_mode, check_overrides
from lightprune.runs.identity import SWEPT

CONFIGS = Path(__file__).parents[2] / "configs"
CONTROL = "pruner=none"
OWN = "dense.checkpoint=a.pt"
PUBLISHED = "model.constructor.weights=DEFAULT"
UNTRAINED = "recipe.dense.epochs=0"
RATE = "recipe.finetune.learning_rate"
REWIND = f"{RATE}.shape=rewind"


def check(*overrides):
    register_configs()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        settings = load_settings(compose("train", ["data=digits", *overrides]))
    check_overrides(settings, ["data=digits", *overrides])


@pytest.mark.parametrize(
    ("unread", "others", "allowed"),
    [
        ("recipe.dense.optimizer.lr=5", (), "recipe.dense.learning_rate.peak=5"),
        ("recipe.finetune.optimizer.lr=0.1", (), f"{RATE}.peak=0.1"),
        ("recipe.dense.optimizer.lr=1", ("experiment=demo",), "learning_rate.peak=1"),
        ("schedule.sparsity=0.9", (CONTROL,), "pruner=global"),
        ("schedule=cubic", ("experiment=reference_control",), "pruner=global"),
        ("+pruner.scope=local", (CONTROL,), "pruner=global"),
        ("recipe.finetune.recalibrate=3", (CONTROL,), "pruner=global"),
        ("recipe.finetune.optimizer_state=reset", (CONTROL,), "pruner=global"),
        ("dense.rewind_epoch=1", (), "pruner.weights=rewind"),
        ("dense.rewind_epoch=1", (CONTROL,), "pruner.weights=rewind"),
        ("pruner.seed=3", (), "seed=3"),
        (
            "pruner.regrowth.batches=2",
            ("pruner=regrow", "pruner/regrowth=random", "schedule=cubic"),
            "grow=gradient",
        ),
        ("dense.prefix=student", (PUBLISHED,), "it with dense.checkpoint"),
        ("recipe.dense.learning_rate.milestones=[0.5]", (), "shape=multistep"),
        (f"{RATE}.peak=0.5", (REWIND,), "another shape"),
        (f"{RATE}.warmup=0.5", (REWIND,), "another shape"),
        ("recipe.dense.augmentation.padding=zero", ("recipe.dense.augmentation.crop=0",), "a crop"),
        ("recipe.finetune.distillation.temperature=2", (), "a weight above 0"),
        ("recipe.dense.distillation.temperature=2", (), "a weight above 0"),
        ("recipe.dense.distillation.weight=0.5", (OWN,), "one of them"),
        (
            "recipe.finetune.label_smoothing=0.1",
            ("recipe.finetune.distillation.weight=1",),
            "a weight below 1",
        ),
        ("recipe.dense.epochs=3", (OWN,), "one of them"),
        ("recipe.dense.learning_rate.peak=1", (OWN,), "one of them"),
        ("recipe.dense.batch_size=8", (OWN, f"{RATE}.peak=auto"), "one of them"),
        ("recipe.dense.label_smoothing=0.2", (UNTRAINED,), "a dense training"),
    ],
)
def test_a_setting_that_is_never_read_is_refused(unread, others, allowed):
    check(*others)
    with pytest.raises(InputError) as refused:
        check(*others, unread)

    message = str(refused.value)
    assert message.startswith(f"{unread.lstrip('+')}: is not read, since ")
    assert allowed in message.partition("; allowed is ")[2]


@pytest.mark.parametrize(
    "overrides",
    [
        (CONTROL, "pruner/targets=all", "pruner.targets.exclude=[fc]"),
        (CONTROL, f"{RATE}.peak=auto", "recipe.finetune.l1=1e-5", "recipe.finetune.restart=never"),
        (OWN, f"{RATE}.peak=auto", "recipe.dense.epochs=3", "recipe.dense.learning_rate.peak=1"),
        (UNTRAINED, "pruner.weights=rewind", "dense.rewind_epoch=0"),
        ("recipe=reference", "recipe.dense.learning_rate.milestones=[0.4]"),
        ("pruner.weights=shuffle", "pruner.seed=3"),
        ("pruner=regrow", "schedule=cubic", "pruner.regrowth.batches=2"),
        ("pruner=regrow", "pruner/regrowth=random", "schedule=cubic", "pruner.seed=3"),
        (OWN, "dense.prefix=student"),
        ("pruner=random", "pruner.criterion.seed=3"),
        (
            "recipe.dense.augmentation.crop=0",
            "recipe.dense.augmentation.rotation=9",
            "recipe.dense.augmentation.padding=zero",
        ),
    ],
)
def test_what_is_read_is_accepted(overrides):
    check(*overrides)


@pytest.mark.parametrize(
    ("overrides", "swept"),
    [
        (["pruner=none", "schedule.sparsity=0.9"], "pruner"),
        (["dense.rewind_epoch=2"], "pruner.weights"),
        (["recipe.dense.epochs=0", "recipe.dense.batch_size=64"], "recipe.dense.epochs"),
        (["pruner=none", "schedule=cubic"], "experiment"),
        (
            [
                "pruner=regrow",
                "pruner/regrowth=random",
                "schedule=cubic",
                "pruner.regrowth.batches=2",
            ],
            "pruner.regrowth.grow",
        ),
    ],
)
def test_what_another_job_of_a_sweep_may_read_is_accepted(monkeypatch, overrides, swept):
    monkeypatch.setenv(SWEPT, json.dumps([swept]))
    check(*overrides)

    monkeypatch.setenv(SWEPT, json.dumps(["seed"]))
    with pytest.raises(InputError, match="is not read"):
        check(*overrides)


def test_a_sweep_and_a_single_run_have_folders_of_their_own():
    sweep = ["hydra.mode=MULTIRUN", "hydra.sweep.dir=a", "hydra/launcher=joblib"]
    check_mode(sweep, ["seed=1"], multirun=True)
    check_mode(["hydra.run.dir=a"], ["seed=1"], multirun=False)

    with pytest.raises(InputError, match=r"run.dir=a: is not read by a sweep .*hydra.sweep.dir"):
        check_mode(["hydra.run.dir=a"], [], multirun=True)
    for unread in ("hydra.sweep.dir=a", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"):
        with pytest.raises(InputError, match=f"{unread}: is not read without -m; .* -m"):
            check_mode([unread], [], multirun=False)


@pytest.mark.parametrize("multirun", [False, True])
def test_a_name_beside_a_folder_is_refused_unless_the_folder_reads_it(multirun):
    folder = "hydra.sweep.dir" if multirun else "hydra.run.dir"
    check_mode([f"{folder}=a/${{name}}"], ["name=b"], multirun=multirun)
    check_mode([], ["name=b"], multirun=multirun)

    with pytest.raises(InputError, match=f"name=b: is not read, since {folder}=a says"):
        check_mode([f"{folder}=a"], ["name=b"], multirun=multirun)
    with pytest.raises(InputError, match=f"{folder}=: allowed is the path of a folder"):
        check_mode([f"{folder}="], [], multirun=multirun)
