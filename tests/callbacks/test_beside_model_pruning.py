"""PruningCallback beside Lightning's ModelPruning on the same module: what each gets right."""

from dataclasses import dataclass

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import ModelPruning
from lightning.pytorch.loggers import CSVLogger

from lightprune import MultiStep, PruningCallback
from tests.callbacks.scenarios import Batches, Segmentation
from tests.callbacks.test_any_module import SaveAt
from tests.training.small import equal

pytestmark = pytest.mark.filterwarnings("ignore")
SPARSITY, STEPS = 0.8, 2


def layers(module):
    return [(module.encoder, "weight"), (module.head, "weight")]


TOTAL = sum(layer.weight.numel() for layer, _ in layers(Segmentation()))


def ours(module):
    return PruningCallback(schedule=MultiStep(SPARSITY, steps=STEPS))


def lightnings(module):
    """Shares of what is left, after the first two epochs."""
    amount = 1 - (1 - SPARSITY) ** (1 / STEPS)
    return ModelPruning(
        "l1_unstructured", layers(module), amount=lambda epoch: amount if epoch < STEPS else 0.0
    )


@dataclass(frozen=True)
class Outcome:
    """A finished training, and what it has logged."""

    module: Segmentation
    logged: str

    @property
    def zeros(self):
        return sum(int((layer.weight == 0).sum()) for layer, _ in layers(self.module))


def fit(folder, make, checkpoint=None, layout=torch.contiguous_format):
    torch.manual_seed(0)
    module = Segmentation().to(memory_format=layout)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=4,
        callbacks=[make(module), SaveAt(folder, 10)],
        logger=CSVLogger(folder, name="", version=""),
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loaders = (Batches(module.batches) for _ in range(2))
    trainer.fit(module, *loaders, ckpt_path=checkpoint, weights_only=False)
    return Outcome(module, (folder / "metrics.csv").read_text())


@pytest.fixture(scope="module", params=[ours, lightnings], ids=["ours", "lightning's"])
def run(request, tmp_path_factory):
    """A callback, the folder of its training, what it ended with."""
    folder = tmp_path_factory.mktemp(request.param.__name__)
    return request.param, folder, fit(folder, request.param)


def test_the_count_of_zeros_is_exact(run):
    """That of Lightning's is too, once its shares of what is left are worked out by hand."""
    _, _, outcome = run

    assert outcome.zeros == round(SPARSITY * TOTAL)


def test_a_sparsity_is_a_share_of_all_weights(tmp_path):
    """Lightning's prunes that share of what is left, epoch after epoch."""
    one_shot = fit(tmp_path, lambda module: PruningCallback(sparsity=0.5, schedule="one_shot"))
    repeated = fit(
        tmp_path, lambda module: ModelPruning("l1_unstructured", layers(module), amount=0.5)
    )

    assert one_shot.zeros == TOTAL // 2
    assert repeated.zeros > 0.9 * TOTAL


def test_a_resumed_training_ends_with_the_same_bits(run, tmp_path):
    """Lightning's loses its masks: pruned weights grow back."""
    make, folder, outcome = run
    resumed = fit(tmp_path, make, folder / "batch.ckpt")

    same = equal(resumed.module.state_dict(), outcome.module.state_dict())
    assert same is (make is ours)
    assert (resumed.zeros == outcome.zeros) is (make is ours)


def test_sparsity_is_logged(run):
    make, _, outcome = run

    assert ("sparsity" in outcome.logged.partition("\n")[0]) is (make is ours)


def test_a_checkpoint_loads_into_the_bare_module(run):
    _, folder, _ = run
    saved = torch.load(folder / "batch.ckpt", weights_only=False)["state_dict"]

    Segmentation().load_state_dict(saved)


def test_weights_in_channels_last_are_pruned(tmp_path):
    """Lightning's fails on them."""
    outcome = fit(tmp_path, ours, layout=torch.channels_last)

    assert outcome.zeros == round(SPARSITY * TOTAL)
    assert outcome.module.encoder.weight.is_contiguous(memory_format=torch.channels_last)
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        fit(tmp_path, lightnings, layout=torch.channels_last)
