"""Folder names of a sweep's jobs tell apart what the jobs differ in."""

import json
import os

import pytest

from lightprune.launch.sweep_arguments import note_swept_values
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
