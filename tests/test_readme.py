"""What README shows is so: its extensions work, its commands and options exist."""

import fnmatch
import re
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir

from lightprune import config
from lightprune.pruning import criteria, schedules
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.S)
YAML = re.findall(r"```yaml\n(.*?)```", README, re.S)


def defined(code, module):
    names = dict(vars(module))
    exec(code, names)
    return names[re.search(r"class (\w+)", code)[1]]


def test_the_shown_criterion_prunes():
    criterion = defined(PYTHON[0], criteria)()
    weights = {"layer.weight": torch.tensor([[5.0, 1.0, 4.9, 9.1]])}
    masks = Pruner(criterion).prune(weights, Masks.dense(weights), 0.5)

    assert masks["layer.weight"].tolist() == [[False, True, False, True]]
    assert YAML[0].strip().endswith(type(criterion).__name__)


def test_the_shown_schedule_plans():
    plan = defined(PYTHON[1], schedules)(sparsity=0.9, span=0.5).plan(4)

    assert [event.sparsity for event in plan.events] == pytest.approx([0.675, 0.9])
    assert yaml.safe_load(YAML[1])["span"] == 0.7


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
    config.register()
    commands = re.findall(r"^python train\.py (.*?)(?: +#.*)?$", README, re.M)
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        for command in commands:
            if "trainer=ddp " not in command and "my.safetensors" not in command:
                plain = command.replace("-m ", "").replace("global,local", "local")
                parts = [part.partition(",")[0] for part in plain.split()]
                config.settings(compose("train", parts))
    assert len(commands) > 5


def test_readme_stays_short():
    assert len(README.splitlines()) < 200
