"""Overrides as they are typed: home folders, and options of groups."""

import pytest

from lightprune.errors import InputError
from lightprune.launch.overrides import check_group_options, expand_home, parse


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
