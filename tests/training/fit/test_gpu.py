"""On a GPU, whose trainer takes the network off the device before a fit is over."""

import pytest
import torch

from tests.training.small import BreakOffAt, BrokenOffError, plan, session

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
COURSE = plan((0, 0.5), (2, 0.9))


def test_a_training_ends_with_exactly_the_asked_zeros(tmp_path):
    made = session(tmp_path, COURSE, accelerator="gpu").fit()

    assert made.zeros == made.pruning.masks.pruned == round(0.9 * made.total)


@pytest.fixture
def deterministic(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("deterministic")
def test_one_that_is_broken_off_and_resumed_ends_with_the_same_weights(tmp_path):
    settings = {"accelerator": "gpu", "deterministic": True, "saves": True}
    whole = session(tmp_path / "whole", COURSE, **settings).fit()
    with pytest.raises(BrokenOffError):
        session(tmp_path / "cut", COURSE, BreakOffAt(3), **settings).fit()
    resumed = session(tmp_path / "cut", COURSE, **settings).fit(tmp_path / "cut" / "last.ckpt")

    assert resumed.pruning.masks.digest() == whole.pruning.masks.digest()
    for name, weight in whole.weights.items():
        assert torch.equal(resumed.weights[name].cpu(), weight.cpu()), name
