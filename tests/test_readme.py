"""What README and the page of `train` show is so: commands, options and links exist."""

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
TRAIN = (ROOT / "docs" / "commands" / "train.md").read_text()
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def test_every_make_target_that_is_named_exists():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)

    assert set(re.findall(r"`?\bmake ([a-z]+)", README)) <= set(targets)


@pytest.mark.parametrize("line", re.findall(r"^\| `(\w+)` \| (.*) \|$", TRAIN, re.M))
def test_every_option_that_is_named_exists(line):
    group, options = line
    files = {file.stem for file in (ROOT / "configs" / group).glob("*.yaml")}

    named = [o for o in re.findall(r"`([\w*]+)`", options) if o != "pruner"]
    matched = {o: fnmatch.filter(files, o) for o in named}
    assert all(matched.values())
    assert set().union(*matched.values()) == files


def test_every_command_that_is_shown_composes():
    register_configs()
    shown = r"^(?:python train\.py|lightprune train) (.*?)(?: +#.*)?$"
    commands = re.findall(shown, README + TRAIN, re.M)
    with initialize_config_dir(str(ROOT / "configs"), version_base="1.3"):
        for command in commands:
            if "trainer=ddp " not in command:
                plain = command.replace("-m ", "").replace("global,local", "local")
                parts = shlex.split(plain)
                if plain != command:  # A sweep's first values.
                    parts = [part.partition(",")[0] for part in parts]
                load_settings(compose("train", parts))
    assert len(commands) > 5


def test_readme_stays_short():
    assert len(README.splitlines()) < 150


def test_every_group_is_named():
    groups = {place.name for place in (ROOT / "configs").iterdir() if place.is_dir()}

    assert {*re.findall(r"^\| `(\w+)` \|", TRAIN, re.M)} == groups - {"hydra"}


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_every_link_leads_somewhere(page):
    text = page.read_text()
    for place, _, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)(#?)([^)\s]*)\)", text):
        target = page.parent / place if place else page
        assert target.exists(), place
        if heading:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.M)
            assert heading in [re.sub(r"[^\w-]", "", h.lower().replace(" ", "-")) for h in headings]


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")]

    assert [page for page in pages if f"]({page})" not in index and page.name != "README.md"] == []


def test_make_reproduce_passes_the_precision_on_and_keeps_such_runs_apart():
    asked = ["make", "-n", "reproduce", "RECIPE=full", "PRECISION=bf16-mixed"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True)

    assert (
        "recipe=full data=cifar10  trainer.precision=bf16-mixed name=reference-full-bf16-mixed"
        in (done.stdout)
    )
    assert "study status outputs/sweeps/reference-full-bf16-mixed " in done.stdout
    assert "study report outputs/sweeps/reference-full-bf16-mixed ||" in done.stdout
