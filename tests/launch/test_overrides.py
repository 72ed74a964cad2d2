"""Home folders in overrides, and folder names of a sweep's jobs: they tell the jobs apart."""

import json
import os

import pytest

from lightprune.errors import InputError
from lightprune.launch.overrides import check_group_options, expand_home, note_swept_values, parse
from lightprune.runs.identity import SWEPT, run_name


@pytest.fixture(autouse=True)
def _restored_environment(monkeypatch):
    monkeypatch.setenv(SWEPT, "{}")


def names(typed, jobs, multirun=True):
    note_swept_values(typed, multirun=multirun)
    return [run_name(None, job) for job in jobs]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("data.root=/x/A,/x/B", ["data.root=A", "data.root=B"]),
        ("dense.checkpoint=a/x.pt,b/y.pt", ["dense.checkpoint=x.pt", "dense.checkpoint=y.pt"]),
        ("+trainer.threads=1,2", ["trainer.threads=1", "trainer.threads=2"]),
        ("logger=wandb,none", ["logger=wandb", "logger=none"]),
    ],
)
def test_what_differs_among_jobs_is_named_even_if_it_changes_no_result(typed, expected):
    key, _, values = typed.partition("=")
    jobs = [[f"{key}={value}", "data.cache_dir=/c"] for value in values.split(",")]

    assert names([typed, "data.cache_dir=/c"], jobs) == expected


@pytest.mark.parametrize(
    "typed",
    [
        "dense.checkpoint=a/x.pt,b/x.pt",
        "data.root=/a/images,/b/images",
        "pruner.targets.exclude=['l*'],['l?']",
        "data.root='/a b/x','/a,b/x'",
    ],
)
def test_values_that_would_share_a_name_are_told_apart_by_a_hash(typed):
    note_swept_values([typed], multirun=True)
    ((key, values),) = json.loads(os.environ[SWEPT]).items()
    first, second = (run_name(None, [f"{key}={value}"]) for value in values)

    assert first != second
    assert first[:-8] == second[:-8]
    assert "/" not in first


@pytest.mark.parametrize(
    "typed",
    [["data.root=/a"], ["seed=1,2", "data.root=/a"], ["experiment=glob(*)", "data.root=/a"]],
)
def test_what_all_jobs_share_is_named_as_ever(typed):
    job = [override for override in typed if "," not in override and "glob" not in override]

    assert names(typed, [job]) == ["default"]


def test_single_runs_are_named_as_ever():
    assert names(["dense.checkpoint=a/x.pt"], [["dense.checkpoint=a/x.pt"]], multirun=False) == [
        "dense.checkpoint=x.pt"
    ]


@pytest.mark.parametrize("home", ["/home/ann", "/home/ann b", "/home/änn", "/home/it's, (1)=2"])
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("data.root=~", [""]),
        ("hydra.run.dir=~/runs/x", ["/runs/x"]),
        ("+data.root='~/a b'", ["/a b"]),
        ('dense.checkpoint="~/x.pt"', ["/x.pt"]),
        ("data.root=~/a,~/b", ["/a", "/b"]),
    ],
)
def test_a_value_that_begins_with_the_home_folder_is_its_path(monkeypatch, home, typed, expected):
    monkeypatch.setenv("HOME", home)
    override = parse(expand_home(typed))
    values = (
        list(override.sweep_iterator(lambda value: value))
        if override.is_sweep_override()
        else [override.value()]
    )

    assert [str(getattr(value, "text", value)) for value in values] == [home + e for e in expected]


@pytest.mark.parametrize(
    "typed",
    ["~pruner", "seed=1", "pruner.sparsities=[['~x',1]]", "name=a~/b", "-m", "data.root=~x"],
)
def test_other_overrides_stay_as_they_are(typed):
    assert expand_home(typed) == typed


def test_options_of_the_program_take_home_folders_too(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann b")

    assert expand_home("--config-dir=~/mine") == "--config-dir=/home/ann b/mine"


@pytest.mark.parametrize(
    "typed",
    [
        *("pruner/criterion=lamp", "pruner=global", "pruner.regrowth=null", "hydra.run.dir=x"),
        *("pruner.criterion._target_=mine.Own", "pruner.criterion={a:1}", "~pruner.regrowth"),
    ],
)
def test_what_names_no_option_passes(typed):
    check_group_options([typed])
    with pytest.raises(InputError, match=r"pruner.criterion=lamp: .* pruner/criterion=lamp"):
        check_group_options([typed, "pruner.criterion=lamp"])
