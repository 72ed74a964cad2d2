"""What must not go on: values that are not finite, a collapsed network, zeros that moved."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_dir
from lightning import Callback
from torch import nn

from lightprune.errors import InputError
from lightprune.experiment.config import load_settings
from lightprune.experiment.schema import register_configs
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.pruner import Pruner
from lightprune.training.classifier import NonFiniteLossError
from lightprune.training.fit import PhaseRun, fit
from tests.training.small import cnn, copied, equal, labelled, phase, plan, session, small_setup

CONFIGS = Path(__file__).parents[2] / "configs"
COURSE = plan((1, 0.5), epochs=3)


def trained(folder, *watchers, course=COURSE, network=cnn):
    """A fit as experiments call it."""
    setup = small_setup(*watchers, network=network)
    return fit(
        setup,
        setup.new_network(),
        PhaseRun(
            "finetune" if course.events else "dense",
            phase(course.epochs),
            course,
            pruner=Pruner() if course.events else None,
        ),
        folder,
    )


def saved(folder):
    """The epoch and the weights of the last checkpoint, which must be finite."""
    checkpoint = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(value.isfinite().all() for value in checkpoint["state_dict"].values())
    return checkpoint["epoch"], checkpoint["state_dict"]


class Poison(Callback):
    """Spoils gradients before the step of a number."""

    def __init__(self, step, value=torch.nan, names=("4.weight", "7.weight")):
        self.step, self.value, self.names = step, value, names

    def on_after_backward(self, trainer, pl_module):
        if trainer.global_step == self.step:
            for name in self.names:
                pl_module.network.get_parameter(name).grad.fill_(self.value)


class At(Callback):
    """Does something to the network after the last batch of an epoch, before its validation."""

    def __init__(self, epoch, deed):
        self.epoch, self.deed = epoch, deed

    def on_train_batch_end(self, trainer, pl_module, *_):
        if trainer.current_epoch == self.epoch and trainer.is_last_batch:
            with torch.no_grad():
                self.deed(pl_module.network)


class Steep(nn.Module):
    """Adds zero by way of a square root, whose slope at zero is infinite."""

    def __init__(self, num_classes=4):
        super().__init__()
        self.inside = cnn(num_classes)

    def forward(self, x):
        logits = self.inside(x)
        return logits + (0 * logits).sqrt()


def test_a_gradient_that_is_not_finite_though_the_loss_is_ends_training(tmp_path):
    made = session(tmp_path, COURSE, network=Steep)
    before = copied(dict(made.network.named_parameters()))

    with pytest.raises(NonFiniteLossError) as caught:
        made.fit()

    assert str(caught.value) == (
        "gradient norm=nan (first in inside.0.weight) at epoch 0, step 0, learning rate 0.1852: "
        "allowed is a finite gradient norm; lower the peak learning rate"
    )
    assert equal(before, dict(made.network.named_parameters()))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_the_last_gradient_of_an_epoch_is_checked_before_its_checkpoint(tmp_path, value):
    with pytest.raises(NonFiniteLossError, match=r"\(first in 4.weight\) at epoch 1, step 5,"):
        trained(tmp_path, Poison(5, value))

    assert saved(tmp_path)[0] == 0


def test_a_gradient_that_is_not_looked_at_spoils_no_checkpoint_either(tmp_path):
    with pytest.raises(NonFiniteLossError, match="loss=nan at epoch 1, step 5,"):
        trained(tmp_path, Poison(4))

    assert saved(tmp_path)[0] == 0


def test_the_gradients_of_every_fiftieth_and_the_last_step_are_checked(tmp_path, monkeypatch):
    made, checked = session(tmp_path, plan(epochs=1), data=labelled(train=40 + 60 * 32)), []

    def norm(gradients):
        checked.append(made.trainer.global_step)
        return torch.zeros(())

    monkeypatch.setattr(nn.utils, "get_total_norm", norm)
    made.fit()

    assert checked == [0, 50, 59]


@pytest.mark.parametrize(
    "setting",
    [{"gradient_clip_val": 0.1}, {"accumulate_grad_batches": 2}, {"precision": "bf16-mixed"}],
)
def test_gradients_are_checked_however_the_trainer_steps(tmp_path, setting):
    made = session(
        tmp_path, COURSE, Poison(1 if "accumulate_grad_batches" in setting else 2), **setting
    )

    with pytest.raises(NonFiniteLossError, match=r"gradient norm=nan \(first in 4.weight\)"):
        made.fit()


def test_a_norm_that_overflows_is_told_without_a_name(tmp_path):
    made = session(tmp_path, COURSE, Poison(0, 1e30))

    with pytest.raises(NonFiniteLossError, match="gradient norm=inf at epoch 0, step 0,"):
        made.fit()


def test_gradients_of_scaled_losses_are_left_to_the_scaler(tmp_path):
    made = session(tmp_path, COURSE, network=Steep)
    made.classifier(torch.randn(2, 3, 8, 8)).sum().backward()
    group = {"param_groups": [{"lr": 0.1}]}
    stub = {"is_last_batch": True, "global_step": 0, "optimizers": [SimpleNamespace(**group)]}

    for precision, refused in (("16-mixed", False), ("32-true", True)):
        made.classifier._trainer = SimpleNamespace(precision=precision, current_epoch=0, **stub)
        try:
            made.classifier.on_before_optimizer_step(SimpleNamespace())
            assert not refused
        except NonFiniteLossError:
            assert refused


def test_a_validation_loss_that_is_not_finite_ends_training_before_the_checkpoint(tmp_path):
    # Running statistics are not used in training: nothing but validation shows them.
    spoil = At(1, lambda network: network[5].running_var.fill_(torch.nan))

    with pytest.raises(NonFiniteLossError) as caught:
        trained(tmp_path, spoil)

    assert str(caught.value).startswith("val/loss=nan at epoch 1, step 6, learning rate ")
    assert "allowed is a finite val/loss; lower the peak learning rate; last good" in str(
        caught.value
    )
    assert saved(tmp_path)[0] == 0


def test_validating_outside_of_a_fit_reports_what_it_finds(tmp_path):
    made = session(tmp_path, COURSE)
    made.network[5].running_var.fill_(torch.nan)

    made.trainer.validate(made.classifier, datamodule=made.data, verbose=False)

    assert made.classifier.evaluation.loss != made.classifier.evaluation.loss


def dying(num_classes=4):
    """All outputs of its last ReLU are zero, and no gradient passes it."""
    network = cnn(num_classes)
    nn.init.constant_(network[7].bias, -1e6)
    return network


def test_a_dense_training_that_has_collapsed_ends(tmp_path):
    with pytest.raises(PruningError) as caught:
        trained(tmp_path, course=plan(epochs=3), network=dying)

    assert str(caught.value) == (
        "epoch 0: training has collapsed, the network's output no longer depends on its input; "
        "lower the peak learning rate"
    )
    assert not (tmp_path / "checkpoints" / "last.ckpt").exists()


def test_a_fine_tuning_that_has_collapsed_ends_before_its_checkpoint(tmp_path):
    collapse = At(2, lambda network: network[7].bias.fill_(-1e6))

    with pytest.raises(PruningError) as caught:
        trained(tmp_path, collapse)

    assert str(caught.value).startswith("epoch 2 at sparsity 0.5: training has collapsed, ")
    assert str(caught.value).endswith("; lower the peak learning rate or the sparsity")
    assert saved(tmp_path)[0] == 1


def test_a_pruned_weight_that_is_not_zero_ends_training_before_the_checkpoint(tmp_path):
    def meddle(network):
        weight = network[7].weight
        weight[weight == 0] = 0.5

    with pytest.raises(PruningError, match=r"epoch 2: \d+ pruned weights of 7.weight are not zero"):
        trained(tmp_path, At(2, meddle))

    epoch, state = saved(tmp_path)
    weights = [weight for weight in state.values() if weight.dim() == 4]
    assert epoch == 1
    assert sum(int((w == 0).sum()) for w in weights) == round(0.5 * sum(w.numel() for w in weights))


def test_the_checks_leave_a_healthy_training_as_it_is(tmp_path):
    assert len(trained(tmp_path).records) == 1


def settings_of(*overrides):
    register_configs()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return load_settings(compose("train", list(overrides)))


PLAIN = [f"recipe.{phase}.optimizer.fused=false" for phase in ("dense", "finetune")]


@pytest.fixture
def _a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.mark.usefixtures("_a_gpu")
def test_fused_sgd_is_refused_where_losses_are_scaled():
    with pytest.raises(InputError) as caught:
        settings_of("trainer.precision=16-mixed", PLAIN[0])

    assert str(caught.value).startswith("recipe.finetune.optimizer.fused=true: under trainer.prec")
    assert "allowed are fused=false, or trainer.precision=bf16-mixed or 32-true" in str(
        caught.value
    )
    assert settings_of("trainer.precision=16-mixed", *PLAIN).trainer_config.precision == "16-mixed"


def test_clipping_is_refused_where_lightning_would_refuse_it_in_mid_fit():
    clipped = ("trainer.precision=bf16-mixed", "trainer.gradient_clip_val=1", "trainer=cpu")

    with pytest.raises(InputError, match=r"recipe.dense.optimizer.fused=true: under trainer.prec"):
        settings_of(*clipped)

    assert settings_of(*clipped, *PLAIN).trainer_config.gradient_clip_val == 1
    assert (
        settings_of("trainer.gradient_clip_val=1", "trainer=cpu").trainer_config.precision
        == "32-true"
    )
