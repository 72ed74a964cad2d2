"""The example notebook runs from top to bottom."""

import json
from pathlib import Path

import matplotlib
import pytest
import torch

pytestmark = pytest.mark.long

NOTEBOOK = Path(__file__).parents[1] / "examples" / "own_model.ipynb"


def test_the_notebook_prunes_and_compiles_a_model_of_its_own(capsys):
    matplotlib.use("agg")
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    names = {"__name__": "notebook"}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)

    weights = [w for name, w in names["model"].named_parameters() if name in names["table"].layers]
    total = sum(w.numel() for w in weights)
    assert sum(int((w == 0).sum()) for w in weights) == round(0.9 * total)
    assert names["sparse_accuracy"] > 0.7
    assert torch.equal(names["fast"](names["images"][:2]), names["fast"](names["images"][:2]))
    assert {len(times) for times in names["latency"].values()} == {3}
    assert "pruned: " in capsys.readouterr().out
