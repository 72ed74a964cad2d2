"""One question has one folder, however it was typed; folders of earlier versions are found."""

import json
import os
from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lightprune.experiment.config import load_settings
from lightprune.files import checksum
from lightprune.launch import choose_folder
from lightprune.launch.choose_folder import without_hydra
from lightprune.launch.overrides import note_swept_keys
from lightprune.launch.run import compose_config
from lightprune.runs.identity import NO_REALS, SWEPT, config_hash

MAIN = ("data=digits", "recipe=smoke", "trainer=cpu", "schedule=one_shot")


@pytest.fixture(autouse=True)
def _a_folder_without_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SWEPT, "[]")


@cache
def composed(*overrides):
    return compose_config([*MAIN, *overrides])


def run_dir(*overrides):
    return composed(*overrides).hydra.run.dir


def settings(*overrides):
    return load_settings(without_hydra(composed(*overrides)))


def begin(folder, *overrides, finished=False, **contents):
    """Writes what a run of these overrides leaves in its folder first, or first and last."""
    os.makedirs(folder)
    identity = {**settings(*overrides).identity, "fingerprint": "f", "dense_weights": None}
    OmegaConf.save(OmegaConf.create({**identity, **contents}), f"{folder}/config.yaml")
    if finished:
        Path(folder, "run.json").touch()


def test_a_name_tells_network_data_method_seed_and_hash():
    hash_end = settings("seed=3").config_hash[-4:]

    assert run_dir("seed=3") == f"outputs/runs/resnet18_digits_global_98_one_shot-s3-{hash_end}"


@pytest.mark.parametrize(
    "same",
    [
        ("schedule.sparsity=0.98",),
        ("pruner=global", "seed=0"),
        ("seed=0", "pruner=global", "+trainer.threads=2"),
        ("data.cache_dir=/a/b", "dense.cache_dir='/a,(b)'", "logger=none", "force=true"),
    ],
)
def test_one_question_has_one_folder_however_it_is_typed(same):
    assert run_dir(*same) == run_dir()


@pytest.mark.parametrize("other", ["seed=1", "schedule.sparsity=0.981", "recipe.finetune.l1=1e-5"])
def test_another_question_has_another_folder(other):
    assert run_dir(other) != run_dir()


def test_the_name_that_the_user_gives_decides():
    assert run_dir("name=mine", "seed=1") == "outputs/runs/mine"


def test_what_cannot_be_resolved_is_left_to_the_check_of_the_config():
    assert run_dir("recipe.dense.epochs=${nowhere}") == "outputs/runs/refused"
    assert run_dir("model.constructor=5").startswith("outputs/runs/run-s0-")


def test_given_weights_are_named():
    first, second = (run_dir(f"dense.checkpoint=/w/{name}.pt") for name in ("a", "b"))

    assert "digits_from_a_global" in first
    assert first.replace("_from_a_", "_from_b_") == second


@pytest.mark.parametrize("validation", [None, 100])
def test_a_run_whose_validation_was_left_to_the_data_is_found_again(validation):
    """The data tell the number of images, which is saved."""
    overrides = ("data=images", "data.root=images")
    if validation:
        overrides += (f"data.validation={validation}",)
    folder = run_dir(*overrides)
    begin(folder, *overrides)
    saved = OmegaConf.load(f"{folder}/config.yaml")
    saved.data.validation = 100
    OmegaConf.save(saved, f"{folder}/config.yaml")

    assert run_dir(*overrides) == folder


def test_a_name_that_another_run_has_taken_gets_more_digits():
    short = run_dir()
    begin(short, "seed=1")
    longer = run_dir()
    begin(longer)

    assert longer.startswith("outputs/runs/resnet18_digits_global_98_one_shot-s0-")
    assert settings().config_hash.endswith(longer.rpartition("-")[2])
    assert len(longer) == len(short) + 4
    assert run_dir() == longer


def hashed_as_typed(folder, *overrides):
    """The folder that versions gave the overrides' config to which 0 and 0.0 differed."""
    return f"{folder[:-4]}{config_hash(settings(*overrides).identity, NO_REALS)[-4:]}"


def test_a_run_is_found_whose_name_an_earlier_version_made_of_numbers_as_typed():
    zero, half = "recipe.finetune.l1=0", "recipe.finetune.l1=0.5"
    new = run_dir(zero)
    old = hashed_as_typed(new, zero)
    begin(old, zero)

    assert old != new
    assert run_dir(zero) == old
    assert run_dir("recipe.finetune.l1=0.0") == new
    assert hashed_as_typed(run_dir(half), half) == run_dir(half)


def test_a_folder_that_was_put_aside_is_not_the_run_s():
    folder = run_dir()
    begin(f"{folder[:-4]}old")

    assert run_dir() == folder


def test_a_run_validated_otherwise_is_not_the_one_whose_validation_the_data_tell():
    overrides = ("data=images", "data.root=images")
    folder = run_dir(*overrides)
    begin(run_dir(*overrides, "data.validation=test"), *overrides, "data.validation=test")

    assert run_dir(*overrides) == folder


def test_a_run_of_an_earlier_version_is_found_and_a_finished_one_first():
    begin("outputs/runs/data=digits,seed=1", "seed=1")
    begin("outputs/runs/data=digits,trainer=cpu", finished=True)
    begin("outputs/runs/data=digits")

    assert run_dir() == "outputs/runs/data=digits,trainer=cpu"
    assert run_dir("seed=1") == "outputs/runs/data=digits,seed=1"
    assert "=" not in run_dir("seed=2")


def test_a_run_of_given_weights_is_found_by_their_content():
    for name in ("x.pt", "y.pt"):
        Path(name).write_text(name)
    old = "outputs/runs/dense.checkpoint=x.pt"
    begin(old, dense_weights=checksum(Path("x.pt")))

    assert run_dir("dense.checkpoint=x.pt") == old
    assert "from_y" in run_dir("dense.checkpoint=y.pt")
    assert "=" not in run_dir()


def sweep_dirs(*typed, jobs, fixed=()):
    """The folders of a sweep's jobs, as Hydra makes their configs."""
    note_swept_keys([*MAIN, *typed], multirun=True)
    master = compose_config([*MAIN, *fixed])
    master.hydra.overrides.task = [*MAIN, *typed]
    folder = master.hydra.sweep.dir
    for job in jobs:
        config = composed(*job)
        OmegaConf.copy_cache(from_config=master, to_config=config)
        assert config.hydra.sweep.dir == folder
        yield os.path.normpath(os.path.join(folder, config.hydra.sweep.subdir))


def test_a_sweep_is_named_by_the_keys_that_its_jobs_differ_in():
    jobs = [["pruner=local", "seed=1"], ["pruner=global", "seed=2"]]
    first, second = sweep_dirs("pruner=global,local", "seed=1,2", jobs=jobs)
    again, _ = sweep_dirs("seed=2,1", "pruner=local,global", "logger=none", jobs=jobs)
    (other,) = sweep_dirs("pruner=global,local", "seed=1,3", jobs=jobs[:1])
    (no_sweep,) = sweep_dirs("seed=1", jobs=jobs[:1])

    assert first.startswith("outputs/sweeps/pruner_seed-")
    assert first.endswith(run_dir(*jobs[0]).removeprefix("outputs/runs"))
    assert os.path.dirname(first) == os.path.dirname(second)
    assert again == first
    assert os.path.dirname(other) != os.path.dirname(first)
    assert no_sweep.startswith("outputs/sweeps/sweep-")


@pytest.mark.parametrize(
    "values",
    [("data.cache_dir=/x/A", "data.cache_dir=/y/A"), ("+trainer.threads=1", "+trainer.threads=2")],
)
def test_jobs_that_differ_in_what_changes_no_result_have_folders_of_their_own(values):
    key = values[0].partition("=")[0]
    typed = f"{key}={','.join(value.partition('=')[2] for value in values)}"
    first, second = sweep_dirs(typed, jobs=[[value] for value in values])

    assert first != second
    assert first[-5:] == second[-5:] == f"-{settings().config_hash[-4:]}"


def test_a_job_of_an_earlier_version_is_found_in_the_sweep_that_nobody_named():
    begin("outputs/sweeps/default/data=digits,seed=1", "seed=1")
    old, new = sweep_dirs("seed=1,2", jobs=[["seed=1"], ["seed=2"]])

    assert old == "outputs/sweeps/default/data=digits,seed=1"
    assert new.startswith("outputs/sweeps/seed-")


def test_a_sweep_is_found_whose_name_an_earlier_version_made_of_numbers_as_typed(monkeypatch):
    def folder():
        zero = ["recipe.finetune.l1=0"]
        (job,) = sweep_dirs("seed=1,2", *zero, jobs=[["seed=1", *zero]], fixed=zero)
        return os.path.dirname(job)

    new = folder()
    with monkeypatch.context() as earlier:
        earlier.setattr(choose_folder, "REAL_NUMBERS", NO_REALS)
        old = folder()
    os.makedirs(old)
    assert old != new
    assert folder() == old

    os.makedirs(new)
    assert folder() == new


def test_which_keys_are_swept_over_is_told_to_the_jobs():
    note_swept_keys(["seed=1,2", "pruner=glob(*)", "schedule.steps=range(1,4)"], multirun=True)
    assert json.loads(os.environ[SWEPT]) == ["seed", "pruner", "schedule.steps"]

    ranges = ["model.width=tag(log,interval(1,8))", "schedule.sparsity=interval(0.1,0.2)"]
    note_swept_keys(ranges, multirun=True)
    assert json.loads(os.environ[SWEPT]) == ["model.width", "schedule.sparsity"]

    note_swept_keys(["seed=1"], multirun=True)
    assert json.loads(os.environ[SWEPT]) == []
