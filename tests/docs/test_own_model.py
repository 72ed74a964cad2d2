"""The lines of README's "Your own model" and of docs/own-model.md, run as they stand."""

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text().partition("## Your own model")[2].partition("\n## ")[0]
LINES = re.findall(r"```\n(.*?)```", README, re.S)
PAGE = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own-model.md").read_text(), re.S)
NETWORK, FIT, LOOP, COMPILE = PAGE

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def given():
    """What the page's first block makes."""
    torch.manual_seed(0)
    names = {}
    exec(NETWORK, names)
    return names


@pytest.fixture
def names(given, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # Lightning writes logs and checkpoints.
    return {**given}


def zeros(module):
    return sum(int((w == 0).sum()) for w in module.parameters() if w.dim() > 1)


def total(module):
    return sum(w.numel() for w in module.parameters() if w.dim() > 1)


def assert_same_outputs(names):
    with torch.no_grad():
        expected = names["model"].eval()(names["images"])
        torch.testing.assert_close(names["fast"](names["images"]), expected, rtol=1e-3, atol=1e-4)


def test_the_lines_of_readme_do_what_they_say(names):
    """They take as given a model, its optimizer, and an example of its input."""
    (lines,) = LINES
    model, module = names["network"](), names["Module"]()
    optimizer = torch.optim.Adam(model.parameters())
    names |= {"model": model, "optimizer": optimizer, "example": names["images"]}
    assert len(lines.splitlines()) == 4
    exec(lines, names)
    trainer = names["Trainer"](max_epochs=3, callbacks=[names["pruning"]], logger=False)
    trainer.fit(module, names["batches"], names["batches"])

    assert zeros(module) == round(0.95 * total(module))
    assert zeros(model) == round(0.9 * total(model))
    assert_same_outputs(names)


@pytest.mark.parametrize(
    ("block", "name", "sparsity"),
    [(FIT, "module", 0.95), (LOOP, "model", 0.9)],
    ids=["fit", "loop"],
)
def test_the_trainings_of_the_page_run(names, capsys, block, name, sparsity):
    exec(block, names)

    assert zeros(names[name]) == round(sparsity * total(names[name]))


def test_the_compiled_module_of_the_page_computes_what_the_model_does(names, capsys):
    exec(LOOP, names)
    exec(COMPILE, names)

    assert "dense MACs, of which" in capsys.readouterr().out
    assert_same_outputs(names)
