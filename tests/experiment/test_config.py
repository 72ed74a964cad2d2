"""Hashes and differences of configs, and every option of every group."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeperConf
from omegaconf import OmegaConf

from lightprune.errors import InputError
from lightprune.experiment.config import load_settings
from lightprune.experiment.config_checks import check_search, finetuning_plan
from lightprune.experiment.dense_cache import dense_key
from lightprune.experiment.preflight import CheckedRun
from lightprune.experiment.schema import register_configs
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.schedules import (
    Constant,
    Cosine,
    Cubic,
    Geometric,
    Linear,
    MultiStep,
    OneShot,
    Until,
)
from lightprune.runs.identity import diff_configs

CONFIGS = Path(__file__).parents[2] / "configs"
OPTIONS = [
    (folder.name, file.stem)
    for folder in CONFIGS.iterdir()
    for file in folder.glob("*.yaml")
    if file.stem not in ("gpu", "ddp")  # refused where there is no GPU
]


def composed(*overrides):
    register_configs()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("train", list(overrides))


@pytest.mark.parametrize(("group", "option"), sorted(OPTIONS))
def test_every_option_of_every_group_makes_settings(group, option):
    beside = ["pruner=rigl"] if option == "constant" else []
    settings = load_settings(composed(f"{group}={option}", *beside))

    assert settings.plan.epochs == settings.recipe.finetune.epochs


def test_the_default_is_the_main_job():
    settings = load_settings(composed())

    assert settings.pruner == Pruner()
    assert settings.plan.final == 0.98
    assert len(settings.plan.events) == 4


class Late(OneShot):
    def event_epochs(self, epochs):
        return [epochs + 3]


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        *(
            (kind(0.5, start=4), "schedule.start=4: allowed are epochs below {}")
            for kind in (OneShot, MultiStep, Linear, Cubic, Geometric, Cosine, Constant, Until)
        ),
        (MultiStep(0.5, steps=5), "schedule.steps=5: allowed are at most {}"),
        (MultiStep(0.5, start=1), "schedule.steps=4: allowed are at most {} less schedule.start=1"),
        (Until(0.5, recovery=5), "schedule.recovery=5: allowed are at most {}"),
        (
            Until(0.5, recovery=4, start=1),
            "schedule.recovery=4: allowed are at most {} less schedule.start=1",
        ),
        (
            Late(0.5),
            "schedule: an event at epoch 7 does not fit {}; allowed are epochs below the budget",
        ),
    ],
)
def test_events_that_do_not_fit_name_the_epochs_as_they_are_given(schedule, message):
    recipe = load_settings(composed("recipe.finetune.epochs=4")).recipe

    with pytest.raises(InputError, match=f"^{message.format('epochs=4')}$"):
        schedule.plan(4)
    with pytest.raises(InputError, match=f"^{message.format('recipe.finetune.epochs=4')}$"):
        finetuning_plan(schedule, recipe, steps_per_epoch=0)


def test_an_amount_takes_the_place_of_the_default_sparsity():
    settings = load_settings(composed("schedule.amount=0.3", "schedule.steps=8"))

    assert settings.plan.final == pytest.approx(1 - 0.7**8)


@pytest.mark.parametrize(
    "neutral",
    ["logger=none", "trainer.progress=false", "name=x", "trainer.threads=1", "callbacks=none"],
)
def test_what_does_not_change_a_result_does_not_change_the_hash(neutral):
    assert load_settings(composed()).config_hash == load_settings(composed(neutral)).config_hash


@pytest.mark.parametrize(
    "change", ["seed=1", "pruner=local", "schedule.steps=2", "recipe.finetune.l1=1e-5"]
)
def test_what_changes_a_result_changes_the_hash(change):
    assert load_settings(composed()).config_hash != load_settings(composed(change)).config_hash


def test_differences_name_the_key_and_both_values():
    theirs = OmegaConf.to_container(composed(), resolve=True)
    mine = OmegaConf.to_container(composed("schedule.sparsity=0.5"), resolve=True)

    assert diff_configs(theirs, mine) == [("schedule.sparsity", 0.98, 0.5)]
    assert diff_configs(mine, mine) == []


def test_hashes_stay_what_they_are():
    # Whoever has such a run, or dense network, finds it again. The rates are spelled out, since a
    # recipe may change its own.
    peaks = ("recipe.dense.learning_rate.peak=0.1", "recipe.finetune.learning_rate.peak=0.05")
    overrides = ("trainer=cpu", "data=digits", "recipe=smoke", "pruner=local", "schedule=cubic")
    settings = load_settings(composed(*overrides, *peaks))
    dense = CheckedRun(settings, None, "print", None, None, (), (), ()).dense.identity

    assert settings.config_hash.startswith("eaa7d7e2cd0fad31")
    assert dense_key(dense) == "f5c8216c0dbf6d26"
    multi_step = load_settings(composed(*overrides[:-1], "schedule=multi_step", *peaks))
    assert multi_step.config_hash.startswith("50f2661ad17619ed")


@pytest.mark.parametrize(
    "override",
    [
        "trainer.limit_batches=1",
        "callbacks=early_stopping",
        "data.validation=none",
        "dense.rewind_epoch=1",
        "pruner.cap=0.5",
        "pruner.pattern=2:4",
        "recipe.dense.augmentation.cutmix=0.5",
        "recipe.finetune.augmentation.cutmix=0.5",
        "recipe.dense.augmentation.rotation=10",
        "recipe.finetune.augmentation.rotation=10",
        "recipe.dense.augmentation.zoom=0.1",
        "recipe.finetune.augmentation.zoom=0.1",
        "recipe.dense.augmentation.color=0.1",
        "recipe.finetune.augmentation.color=0.1",
        "recipe.dense.ema_decay=0.9",
        "recipe.finetune.ema_decay=0.9",
        "recipe.finetune.recalibrate=1",
        "schedule.span=0.5",
        "schedule.start=1",
    ],
)
def test_every_key_that_changes_a_result_changes_the_hash(override):
    without = load_settings(composed("schedule.sparsity=0.5"))
    changed = load_settings(composed("schedule.sparsity=0.5", override))

    assert without.config_hash != changed.config_hash


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["dense.rewind_epoch=21"], "dense.rewind_epoch=21: .* at most recipe.dense.epochs=20"),
        (["dense.rewind_epoch=-1"], "dense.rewind_epoch=-1: allowed is an integer at least 0"),
        (["dense.checkpoint=a.pt"], r"dense.checkpoint=\S+a.pt: does not hold the early weights"),
    ],
)
def test_rewinding_needs_weights_to_go_back_to(overrides, message):
    with pytest.raises(InputError, match=message):
        load_settings(composed("pruner.weights=rewind", *overrides))


def test_only_a_search_needs_validation_images():
    whole, split = (
        load_settings(composed(f"data.validation={validation}")).source
        for validation in ("none", 5000)
    )
    search = "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"

    check_search(whole, BasicSweeperConf()._target_)
    check_search(split, search)
    with pytest.raises(InputError, match=r"data.validation=none: hydra/sweeper searches"):
        check_search(whole, search)


def test_a_rewound_learning_rate_needs_as_many_dense_epochs():
    rewind = "recipe.finetune.learning_rate.shape=rewind"
    course = ("schedule=one_shot", "recipe.finetune.epochs=8")

    assert load_settings(composed(rewind, *course, "recipe.dense.epochs=8")).plan.epochs == 8
    with pytest.raises(InputError, match=r"shape=rewind: a cycle of 8 epochs is longer"):
        load_settings(composed(rewind, *course, "recipe.dense.epochs=7"))


def test_movement_needs_steps_before_its_first_event():
    settings = load_settings(composed("pruner/criterion=movement", "schedule.start=1"))

    assert settings.plan.events[0].epoch == 1
    with pytest.raises(InputError, match=r"criterion=Movement: .* allowed is schedule.start=1"):
        load_settings(composed("pruner/criterion=movement"))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("EMAWeightAveraging", ("decay=0.9",), "allowed is recipe.finetune.ema_decay"),
        ("StochasticWeightAveraging", ("swa_lrs=0.05",), "allowed is recipe.finetune.ema_decay"),
        ("DeviceStatsMonitor", (), "writes to a logger, and there is none"),
    ],
)
def test_callbacks_of_lightning_that_cannot_join_are_refused(name, arguments, message):
    own = ["callbacks=lr_monitor", "~callbacks.lr_monitor.logging_interval", "logger=none"]
    own.append(f"callbacks.lr_monitor._target_=lightning.pytorch.callbacks.{name}")
    with pytest.raises(InputError, match=rf"callbacks.lr_monitor: .*{message}"):
        load_settings(composed(*own, *(f"+callbacks.lr_monitor.{a}" for a in arguments)))
