"""The Python API: what `help(lightprune)` shows, its examples, and the page made from them."""

import functools
import os
import pydoc
import runpy
from pathlib import Path

import lightning
import pytest
import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader

import lightprune
from tests.system.tiny import tiny_resnet

ROOT = Path(__file__).parents[1]
PAGES = runpy.run_path(str(ROOT / "docs" / "generate_api.py"))
NAMES = dict(PAGES["public_names"]())
WORDS = ("model=resnet20", "data=digits", "recipe=smoke", "debug=fast", "name=example")


class Module(lightning.LightningModule):
    """A network of the user's own, with a metric of its own name."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))

    def training_step(self, batch, index):
        return self.net(batch).square().mean()

    def validation_step(self, batch, index):
        self.log("val/acc", self.net(batch).mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def train_dataloader(self):
        return DataLoader(torch.randn(8, 4), batch_size=4)

    val_dataloader = train_dataloader


def train(model, optimizer):
    model(torch.randn(2, 3, 32, 32)).sum().backward()
    optimizer.step()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A working directory with the run that examples speak of."""
    folder, before = tmp_path_factory.mktemp("examples"), Path.cwd()
    os.chdir(folder)
    lightprune.run(*WORDS)
    os.chdir(before)
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_every_name_has_an_example_that_runs(name, place, monkeypatch):
    code, _ = PAGES["example_of"](NAMES[name])
    if name == "semi_structured_" and not torch.cuda.is_available():
        assert "lightprune.semi_structured_(model)" in code
        return
    if name in ("sparse.CompiledModule", "sparse.SparseNetwork"):
        return  # What `sparse.compile` and `load` return.
    model = tiny_resnet()
    quiet = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False}
    quiet |= {"enable_progress_bar": False, "enable_model_summary": False}
    given = {
        "Path": Path,
        "Trainer": functools.partial(lightning.Trainer, **quiet),
        "lightprune": lightprune,
        "model": model,
        "module": Module(),
        "nn": nn,
        "optimizer": torch.optim.AdamW(model.parameters()),
        "torch": torch,
        "torchvision": torchvision,
        "train": train,
    }
    given |= {public: getattr(lightprune, public) for public in lightprune.__all__}
    monkeypatch.chdir(place)
    exec(code, given)

    assert len(code.splitlines()) <= 6


def test_help_shows_every_name():
    shown = pydoc.plain(pydoc.render_doc(lightprune))

    assert [name for name in lightprune.__all__ if name not in shown] == []
    assert "__version__" in dir(lightprune)
    assert lightprune.__version__


def test_the_page_is_in_step_with_the_docstrings():
    assert PAGES["PAGE"].read_text(encoding="utf-8") == PAGES["page"](), (
        "python docs/generate_api.py renews it"
    )


def test_a_run_from_python_is_that_of_the_command(place, monkeypatch):
    monkeypatch.chdir(place)
    result = lightprune.run(*WORDS)

    assert result.folder == Path("outputs/runs/example")
    assert result.record.command == f"lightprune train {' '.join(WORDS)}"
    zeros = sum(int((w == 0).sum()) for w in result.network().state_dict().values() if w.dim() == 4)
    assert zeros == result.record.cost.weights - result.record.cost.nnz
    assert lightprune.run(*WORDS, "plan_only=true") is None


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("pruner=globall", "pruner=globall: allowed are .*; did you mean global"),
        ("sed=1", "sed: no such key; .*; did you mean seed"),
        ("schedule.sparsity=2", "schedule.sparsity=2: allowed is a number"),
        ("hydra.sweep.dir=there", "hydra.sweep.dir=there: is not read without -m"),
    ],
)
def test_bad_overrides_are_the_same_one_line(override, message):
    with pytest.raises(lightprune.InputError, match=f"^{message}"):
        lightprune.run(override)


def test_pruning_in_place_zeroes_exactly_the_share_and_the_table_counts_it():
    network = tiny_resnet()
    masks = lightprune.prune(network, 0.75)
    table = lightprune.summary(network, torch.zeros(1, 3, 32, 32))

    prunable = [w for name, w in network.named_parameters() if name in masks]
    zeros = sum(int((w == 0).sum()) for w in prunable)
    assert zeros == masks.pruned == round(0.75 * masks.total)
    assert str(table).splitlines()[-1].split()[:3] == ["total", f"{masks.total:,}", f"{zeros:,}"]
    assert len(str(table).splitlines()) == len(prunable) + 2
