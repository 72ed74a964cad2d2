"""PruningCallback in any LightningModule: exact zeros, bit-exact resume, names as they were."""

import random
import shutil

import pytest
import torch
from lightning import Callback

from tests.callbacks.scenarios import BATCHES, EPOCHS, SCENARIOS, SPARSITY
from tests.training.small import copied, equal

INDUCTOR = (
    pytest.mark.long,
    pytest.mark.skipif(
        not any(map(shutil.which, ("g++", "clang++"))),
        reason="torch.compile needs a C++ compiler on a CPU",
    ),
)


class SaveAt(Callback):
    """Saves a checkpoint after so many batches."""

    def __init__(self, folder, batches):
        self.folder, self.batches, self.seen = folder, batches, 0

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        self.seen += 1
        if self.seen == self.batches:
            trainer.save_checkpoint(self.folder / "batch.ckpt")


def zeros(weights):
    return sum(int((weight == 0).sum()) for weight in weights.values())


def assert_sparse(fitted):
    """Every callback's weights have exactly the zeros of its masks, as many as its plan says."""
    for callback in fitted.callbacks:
        weights = callback.sparsifier.weights
        expected = round(SPARSITY * sum(weight.numel() for weight in weights.values()))
        assert zeros(weights) == callback.masks.pruned == expected
        assert callback.masks.violations(weights) == {}
        assert all(bool(weight.isfinite().all()) for weight in weights.values())
        assert len(callback.records) == 2


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=INDUCTOR if "inductor" in n else ()) for n in SCENARIOS]
)
def test_zeros_are_exact_a_resume_is_bit_exact_and_names_stay(tmp_path, name):
    scenario = SCENARIOS[name]
    torch.manual_seed(0)
    bare = scenario.module()
    bare = getattr(bare, "_orig_mod", bare)
    bare.configure_model()
    batch = scenario.window * random.Random(name).randrange(1, EPOCHS * BATCHES // scenario.window)

    whole = scenario.fit(tmp_path, SaveAt(tmp_path, batch))
    resumed = scenario.fit(tmp_path, checkpoint=tmp_path / "batch.ckpt")

    assert_sparse(whole)
    assert_sparse(resumed)
    state = copied(whole.module.state_dict())
    assert list(state) == list(bare.state_dict())
    bare.load_state_dict(state)
    if scenario.resumes:
        assert equal(state, resumed.module.state_dict())
        for one, other in zip(whole.callbacks, resumed.callbacks, strict=True):
            assert [r.digest for r in one.records] == [r.digest for r in other.records]
            # After an epoch's last batch Lightning resumes without its validation.
            assert one.records == other.records or batch % BATCHES == 0
