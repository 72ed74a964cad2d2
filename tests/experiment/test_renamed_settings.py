"""Renamed keys and options: old names are found, and the new ones exist."""

import subprocess
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from lightprune.errors import InputError
from lightprune.experiment.config import load_settings
from lightprune.experiment.renamed_settings import RENAMED_KEYS, find_renamed_key, renamed_option
from lightprune.experiment.schema import register_configs

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("group", "old", "new"),
    [
        ("recipe", "study", "reference"),
        ("experiment", "study_control", "reference_control"),
        (
            "experiment",
            "study_first_99_5_one_shot",
            "reference_unreachable_first_99_5_one_shot",
        ),
        ("experiment", "lab_lamp", "method_lamp"),
    ],
)
def test_an_old_option_leads_to_one_that_exists(group, old, new):
    assert renamed_option(group, old) == new
    assert (ROOT / "configs" / group / f"{new}.yaml").exists()


@pytest.mark.parametrize(("group", "option"), [("recipe", "study_2"), ("recipe", "fast")])
def test_other_options_have_not_been_renamed(group, option):
    assert renamed_option(group, option) is None


@pytest.mark.parametrize(("old", "new"), RENAMED_KEYS.items())
def test_an_old_key_in_a_config_is_refused_by_its_new_name(old, new):
    register_configs()
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        cfg = OmegaConf.to_container(compose("train", ["data=digits"]), resolve=True)
    assert find_renamed_key(cfg) is None
    *parents, last = old.split(".")
    node = cfg
    for parent in parents:
        node = node[parent]
    node[last] = node.pop(new.rpartition(".")[2])

    with pytest.raises(InputError, match=f"{old}: has been renamed; allowed is {new}"):
        load_settings(OmegaConf.create(cfg))


def test_the_old_variable_of_make_is_answered_by_the_new_one():
    command = ["make", "-n", "reproduce", "CELLS=global_*"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "CELLS=global_*: has been renamed; allowed is EXPERIMENTS=global_*" in done.stderr
