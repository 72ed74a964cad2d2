"""What README shows is so: its commands and options exist."""

import fnmatch
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from lightprune.experiment.config import load_settings
from lightprune.experiment.schema import register_configs

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_every_make_target_that_is_named_exists():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)

    assert set(re.findall(r"`?\bmake ([a-z]+)", README)) <= set(targets)


@pytest.mark.parametrize("line", re.findall(r"^\| `(\w+)` \| (.*) \|$", README, re.M))
def test_every_option_that_is_named_exists(line):
    group, options = line
    files = {file.stem for file in (ROOT / "configs" / group).glob("*.yaml")}

    named = [o for o in re.findall(r"`([\w*]+)`", options) if o != "pruner"]
    matched = {o: fnmatch.filter(files, o) for o in named}
    assert all(matched.values())
    assert set().union(*matched.values()) == files


def test_every_command_that_is_shown_composes():
    register_configs()
    commands = re.findall(r"^python train\.py (.*?)(?: +#.*)?$", README, re.M)
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        for command in commands:
            if "trainer=ddp " not in command:
                plain = command.replace("-m ", "").replace("global,local", "local")
                parts = [part.partition(",")[0] for part in shlex.split(plain)]
                load_settings(compose("train", parts))
    assert len(commands) > 5


def test_readme_stays_short():
    assert len(README.splitlines()) < 200


def test_make_reproduce_passes_the_precision_on_and_keeps_such_runs_apart():
    asked = ["make", "-n", "reproduce", "RECIPE=full", "PRECISION=bf16-mixed"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)

    assert (
        "recipe=full data=cifar10  trainer.precision=bf16-mixed name=reference-full-bf16-mixed"
        in (done.stdout)
    )
    assert "study status outputs/sweeps/reference-full-bf16-mixed " in done.stdout
    assert "study report outputs/sweeps/reference-full-bf16-mixed ||" in done.stdout
