"""The lines of README's "Your own model" and of docs/own-model.md, run as they stand."""

import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text().partition("## Your own model")[2].partition("\n## ")[0]
LINES = re.findall(r"```\n(.*?)```", README, re.S)
PAGE = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "own-model.md").read_text(), re.S)
QUIET = {
    "accelerator": "cpu",
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Module(LightningModule):
    """A small network of someone else."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(512, 4)
        )

    def forward(self, x):
        return self.layers(x)

    def training_step(self, batch, batch_idx):
        return F.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.log("val/acc", (self(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), 0.01)


@pytest.fixture
def names():
    """What the lines take as given."""
    torch.manual_seed(0)
    module, model = Module(), Module().layers
    images = [(torch.randn(3, 8, 8), index % 4) for index in range(16)]
    batches = DataLoader(images, batch_size=8)
    return {
        "Trainer": Trainer,
        "quiet": QUIET,
        "module": module,
        "model": model,
        "optimizer": torch.optim.Adam(model.parameters()),
        "example": next(iter(batches))[0],
        "train_batches": batches,
        "val_batches": batches,
        "loss_of": lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]),
    }


def zeros(module):
    return sum(int((w == 0).sum()) for w in module.parameters() if w.dim() > 1)


TOTAL = sum(w.numel() for w in Module().parameters() if w.dim() > 1)


@pytest.mark.filterwarnings("ignore")
def test_the_lines_of_readme_do_what_they_say(names):
    (lines,) = LINES
    assert len(lines.splitlines()) == 4
    exec(lines, names)
    trainer = Trainer(max_epochs=3, callbacks=[names["pruning"]], **QUIET)
    trainer.fit(names["module"], names["train_batches"], names["val_batches"])

    assert zeros(names["module"]) == round(0.95 * TOTAL)
    assert zeros(names["model"]) == round(0.9 * TOTAL)
    with torch.no_grad():
        expected = names["model"](names["example"])
        torch.testing.assert_close(names["fast"](names["example"]), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("piece", "name", "sparsity"), [(0, "module", 0.95), (1, "model", 0.9)], ids=["fit", "loop"]
)
def test_the_pieces_of_the_page_run(names, capsys, piece, name, sparsity):
    exec(PAGE[piece], names)

    assert len(PAGE) == 2
    assert zeros(names[name]) == round(sparsity * TOTAL)
