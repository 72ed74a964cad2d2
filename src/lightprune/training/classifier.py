"""The LightningModule: a network with its loss, metrics, optimizer and learning rate."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric

from lightprune.data.datamodule import Batch
from lightprune.errors import InputError
from lightprune.models.model import Model
from lightprune.pruning.eval_mode import eval_mode
from lightprune.rng import named_seed
from lightprune.training.lr_schedule import LRCycles
from lightprune.training.metrics import Evaluation, Tally
from lightprune.training.recipe import Phase

# Reading a loss waits for the device, a gradient norm reads every weight: not at every step.
_CHECK_EVERY = 50


class NonFiniteLossError(RuntimeError):
    """Training diverged; the message names epoch, step and learning rate."""


class Classifier(LightningModule):
    """Trains and evaluates one network in one phase.

    The network maps float32 (B, 3, H, W) to logits (B, classes). `peak` gives the peak learning
    rate of the cycle that starts at an epoch, or step (`Plan.cycle_at`). `seed` is that of the
    layers' own random draws, as of dropout; `l1` weighs the L1 norm of `l1_weights`, parameters of
    the network, in the loss. `phase.distillation` learns from `teacher`, which is put into
    evaluation mode.

    Attributes:
        network: The network, under its own parameter names.
        evaluation: Result of the last validation or test; None before the first.
    """

    def __init__(
        self,
        network: nn.Module,
        model: Model,
        classes: Sequence[str],
        phase: Phase,
        cycles: LRCycles,
        *,
        peak: Callable[[int], float],
        seed: int = 0,
        l1: float = 0.0,
        l1_weights: Iterable[Tensor] = (),
        teacher: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.evaluation: Evaluation | None = None
        self._model = model
        self._phase = phase
        self._cycles = cycles
        self._peak = peak
        self._seed = seed
        self._l1 = l1
        self._l1_weights = tuple(l1_weights)
        # In a tuple, it is no submodule: neither optimised, nor averaged, nor in a state dict.
        self._teachers = () if teacher is None else (teacher.eval().requires_grad_(False),)
        self._tally = Tally(classes)
        # Not a plain value that is logged: Lightning keeps no running mean in a checkpoint.
        self._train_loss = MeanMetric(nan_strategy="disable")
        if model.compile:
            for each in (network, *self._teachers):
                each.compile()

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (B, classes)."""
        logits: Tensor = self.network(self.to_memory_format(images))
        return logits

    @property
    def accuracy(self) -> float | None:
        """Of the last validation or test, 0..1; None before the first."""
        return None if self.evaluation is None else self.evaluation.accuracy

    def to_memory_format(self, images: Tensor) -> Tensor:
        return self._model.to_memory_format(images)

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a batch by labels, smoothed, and teacher; `network` may be a copy."""
        images, labels = self.to_memory_format(batch[0]), batch[1]
        logits = network(images)
        loss = F.cross_entropy(logits, labels, label_smoothing=self._phase.label_smoothing)
        for teacher in self._teachers:
            with torch.no_grad():
                teacher_logits = teacher(images)
            loss = self._phase.distillation.loss(loss, logits, teacher_logits)
        return loss

    def rng_key(self, name: str) -> tuple[int | str, ...]:
        """The RNG key of one kind of draws in this epoch and process."""
        return name, self._seed, self.current_epoch, self.global_rank

    def configure_optimizers(self) -> Optimizer:
        """The recipe's optimizer; there is no scheduler, each step sets its learning rate."""
        return self._phase.build_optimizer(self.network)

    def on_fit_start(self) -> None:
        """Brings the teacher to the device of the network."""
        for teacher in self._teachers:
            teacher.to(self.device)

    def on_train_epoch_start(self) -> None:
        """Makes what layers draw, as dropout does, depend on seed, epoch and rank alone."""
        torch.manual_seed(named_seed(*self.rng_key("layers")))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses the weights of another network before they are loaded.

        Raises:
            InputError: Names or shapes differ.
        """
        expected = {name: tuple(value.shape) for name, value in self.state_dict().items()}
        saved = {name: tuple(value.shape) for name, value in checkpoint["state_dict"].items()}
        for name in [*expected, *saved]:
            if expected.get(name) != saved.get(name):
                raise InputError(
                    f"checkpoint: its network is another: {name} is {saved.get(name)}, this run's "
                    f"is {expected.get(name)}; allowed is a checkpoint of the same experiment"
                )

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        if self._cycles.plan.steps is not None:  # Any of them may be the first of a resumed epoch.
            torch.manual_seed(named_seed(*self.rng_key("layers"), batch_idx))
        rate = self.learning_rate()
        optimizer = self.optimizers()
        for group in optimizer.param_groups:  # type: ignore[union-attr]
            group["lr"] = rate
        self.log("lr", rate, on_step=True, on_epoch=False)

    def learning_rate(self) -> float:
        """The learning rate of the coming optimizer step."""
        trainer = self.trainer
        steps = math.ceil(int(trainer.num_training_batches) / trainer.accumulate_grad_batches)
        peak = self._peak(self._cycles.cycle_of_step(trainer.global_step, steps).start)
        return self._cycles.at(trainer.global_step, steps, peak)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of the batch, plus the L1 norm of the prunable weights."""
        loss = self.loss(self.network, batch)
        if self._l1:
            loss = loss + self._l1 * sum(weight.abs().sum() for weight in self._l1_weights)
        last = batch_idx + 1 == self.trainer.num_training_batches
        if loss.device.type == "cpu" or last or batch_idx % _CHECK_EVERY == 0:
            self._check_finite("loss", loss.detach())
        self._train_loss.update(loss, len(batch[1]))
        self.log("train/loss", self._train_loss, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def train_loss_state(self) -> Tensor:
        """This process' training loss of the epoch so far: its weighted sum, and the weight."""
        return torch.stack([self._train_loss.mean_value, self._train_loss.weight])

    def resume_train_loss(self, state: Tensor) -> None:
        """Continues an epoch with what `train_loss_state` returned."""
        self._train_loss.mean_value, self._train_loss.weight = state.to(self.device).unbind()

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Refuses, once in a while, a gradient that is not finite though the loss is.

        Not under 16-mixed, whose scaler finds such steps and skips them.
        """
        due = self.trainer.is_last_batch or self.trainer.global_step % _CHECK_EVERY == 0
        if due and self.trainer.precision != "16-mixed":
            named = self.network.named_parameters()
            self._check_finite("gradient norm", *_norm((name, p.grad) for name, p in named))

    def check_weights(self) -> None:
        """Raises NonFiniteLossError if a weight is not finite."""
        self._check_finite("weight norm", *_norm(self.network.named_parameters()))

    def _check_finite(self, name: str, value: Tensor | float, where: str = "") -> None:
        if not math.isfinite(value):
            rate = self.trainer.optimizers[0].param_groups[0]["lr"]
            raise NonFiniteLossError(
                f"{name}={float(value)}{where} at epoch {self.current_epoch}, step "
                f"{self.trainer.global_step}, learning rate {rate:.4g}: allowed is a finite "
                f"{name}; lower the peak learning rate"
            )

    def on_validation_epoch_start(self) -> None:
        self._tally.reset()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, labels = batch
        self._tally.update(self(images), labels)

    on_test_epoch_start = on_validation_epoch_start
    test_step = validation_step

    def on_validation_epoch_end(self) -> None:
        self.evaluation = self._tally.compute()
        if self.trainer.state.fn == "fit":
            self._check_finite("val/loss", self.evaluation.loss)
        self._log("val", self.evaluation)

    def on_test_epoch_end(self) -> None:
        self.evaluation = self._tally.compute()
        self._log("test", self.evaluation)

    def evaluate(self, batches: Iterable[Batch]) -> Evaluation:
        """Evaluates the network outside of the trainer's loops, in evaluation mode."""
        self._tally.reset()
        with eval_mode(self.network), self.trainer.precision_plugin.forward_context():
            for images, labels in batches:
                self._tally.update(self(images), labels)
        return self._tally.compute()

    def _log(self, stage: str, evaluation: Evaluation) -> None:
        self.log(f"{stage}/accuracy", evaluation.accuracy, prog_bar=True, sync_dist=True)
        self.log(f"{stage}/loss", evaluation.loss, sync_dist=True)


def as_classifier(module: LightningModule) -> Classifier:
    """The module that a hook of an experiment's callback is given, by its type."""
    assert isinstance(module, Classifier)
    return module


def _norm(named: Iterable[tuple[str, Tensor | None]]) -> tuple[Tensor, str]:
    """The norm of all tensors together; of one that is not finite, where it is so first."""
    tensors = {name: tensor.detach() for name, tensor in named if tensor is not None}
    norm = nn.utils.get_total_norm(tensors.values())
    if not torch.isfinite(norm):
        for name, tensor in tensors.items():
            if not tensor.isfinite().all():
                return norm, f" (first in {name})"
    return norm, ""
