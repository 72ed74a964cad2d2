"""Every piece of docs/extending.md, put where it says, prunes together with the others."""

import os
import re
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lightprune.data.digits import Digits
from lightprune.pruning.masks import Masks
from lightprune.pruning.pruner import Pruner
from tests.system.entry import ROOT, Server, arguments, record

PAGE = (ROOT / "docs" / "extending.md").read_text()
# The text since the piece before it, the last path in which is where it goes.
PIECES = re.findall(r"(.*?)```(?:python|yaml)\n(.*?)```", PAGE, re.S)


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the project in which every piece of the page lies in its place."""
    copy = tmp_path_factory.mktemp("copy")
    shutil.copy(ROOT / "train.py", copy)
    for part in ("src", "configs"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / part, copy / part, ignore=ignored, symlinks=True)
    for text, code in PIECES:
        place = copy / re.findall(r"`((?:src|configs)/[\w/]+\.(?:py|yaml))`", text)[-1]
        there = place.read_text() + "\n\n" if place.exists() else ""
        place.write_text(there + code)
    return copy


@pytest.fixture(scope="module")
def train(extended):
    """Runs train.py of that copy."""
    paths = (str(extended / "src"), os.environ.get("PYTHONPATH", ""))
    with Server(PYTHONPATH=os.pathsep.join(paths)) as server:
        yield lambda *overrides: server.run(
            "train.py", extended, extended, arguments(extended, *overrides)
        )


@pytest.mark.long
def test_a_run_takes_all_five(extended, train):
    data = Digits(cache_dir=str(extended / "digits")).load()[0]
    parts = {"train": data.train, "test": data.test}
    images = {f"{name}_images": part.images.numpy() for name, part in parts.items()}
    labels = {f"{name}_labels": part.labels.numpy() for name, part in parts.items()}
    np.savez(extended / "my.npz", **images, **labels)

    done = train(
        "pruner=square_root",
        "pruner/criterion=distance",
        "schedule=quadratic",
        "schedule.sparsity=0.75",
        "model=plain",
        "data=arrays",
        f"data.root={extended / 'my.npz'}",
        "data.validation=200",
        "recipe=smoke",
        "trainer=cpu",
    )
    assert done.returncode == 0, done.stderr

    run = record(extended / "run")
    events = run["events"]
    weights = load_file(extended / "run" / "model.safetensors")
    kept = [int((weights[f"{layer}.weight"] != 0).sum()) for layer in (0, 3)]
    assert run["config"]["pruner"]["criterion"]["_target_"].endswith("distance.Distance")
    assert [round(event["target"], 4) for event in events] == [0.4167, 0.6667, 0.75]
    assert sum(kept) == (3 * 9 * 16 + 16 * 9 * 32) // 4
    # Roots of 432 and of 4,608 weights: 20 and 67.
    assert kept[0] == round(sum(kept) * 20 / 87)


@pytest.mark.long
def test_bad_values_of_custom_classes_are_one_line(extended, train):
    lost = train("data=arrays", "data.root=no.npz", "model=plain")
    unknown = train("schedule=quadratic", "schedule.span=2")

    missing = extended / "no.npz"
    assert lost.stderr == f"error: data.root={missing}: no such file; allowed is an .npz archive\n"
    assert unknown.stderr.startswith("error: schedule.span=2: ")


def test_the_criterion_keeps_what_is_far_from_the_mean():
    names = {}
    exec(next(code for _, code in PIECES if "class Distance" in code), names)
    weights = {"layer.weight": torch.tensor([[5.0, 1.0, 4.9, 9.1]])}
    masks = Pruner(names["Distance"](power=2.0)).prune(weights, Masks.dense(weights), 0.5)

    assert masks["layer.weight"].tolist() == [[False, True, False, True]]
