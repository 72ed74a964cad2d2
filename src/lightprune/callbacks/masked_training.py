"""A Lightning training in which pruned weights stay zero: a Sparsifier at the trainer's hooks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning import Callback, LightningModule, Trainer
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.optim import Optimizer

from lightprune.callbacks.checks import check_overlap, check_strategy
from lightprune.callbacks.masked_averages import mask_averages
from lightprune.errors import InputError, check_choice, check_kind
from lightprune.pruning.argument_checks import check_types, check_weights_stay
from lightprune.pruning.cost.example import Example
from lightprune.pruning.event_record import PruningError
from lightprune.pruning.masks import Masks
from lightprune.pruning.optimizers.state import POLICIES
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.sparsifier import Sparsifier
from lightprune.pruning.targets import Targets


class MaskedTraining(Callback):
    """Keeps pruned weights of a LightningModule, or of a part of it, at zero during `fit`.

    Nothing depends on hooks of modules, which compiled code may never run: gradients are masked
    before every step and weights after it. The end of every epoch and every validation check the
    zeros. Averages of the weights (EMA, SWA) are pruned with them.

    Attributes:
        sparsifier: Has weights and masks; None before the first fit.
        earlier_metrics: What was logged before the masks changed last: of a denser network.
        replaces_weights: Whether events do what `Pruner.weights` says of rewinding.
    """

    replaces_weights = False

    def __init__(
        self,
        pruner: Pruner | None,
        targets: Targets,
        module: str,
        example: Example | None,
        optimizer_state: str,
    ) -> None:
        """Takes what a `Sparsifier` takes, with the name of a part in the place of a module.

        Raises:
            InputError: An argument is of another type.
        """
        check_types(pruner, targets, example)
        if pruner is not None and not self.replaces_weights:
            check_weights_stay(pruner)
        check_kind("module", module, str, "the name of a part of the LightningModule")
        check_choice("optimizer_state", optimizer_state, POLICIES)
        self.sparsifier: Sparsifier | None = None
        self.earlier_metrics: dict[str, Tensor] = {}
        self._pruner = pruner or Pruner()
        self._targets = targets
        self._module = module
        self._example = example
        self._optimizer_state = optimizer_state
        self._restored: dict[str, Any] = {}
        self._number = 1  # Among the callbacks of a trainer that prune the same part.

    @property
    def masks(self) -> Masks | None:
        """Which weights are kept; None before the first fit."""
        return self.sparsifier.masks if self.sparsifier else None

    @property
    def sparsity(self) -> float:
        """The share of the prunable weights that are zero now, 0..1, pruned or not."""
        return self.sparsifier.sparsity if self.sparsifier else 0.0

    @property
    def log_name(self) -> str:
        """The name that the sparsity is logged under, as `sparsity` or `sparsity/encoder`.

        Where several callbacks prune the same part, that of the second begins with `sparsity_2`.
        """
        name = "sparsity" if self._number == 1 else f"sparsity_{self._number}"
        return f"{name}/{self._module}" if self._module else name

    @property
    def _fitted_sparsifier(self) -> Sparsifier:
        """The sparsifier, which there is from the start of a fit on."""
        assert self.sparsifier is not None
        return self.sparsifier

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses strategies that cut weights into pieces."""
        if stage == "fit":
            check_strategy(trainer.strategy)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finds the weights; restores masks of a checkpoint, or of an earlier fit of the module."""
        # Not in `setup`: a module may build its layers in `configure_model`, which comes after it.
        part, state = self._part(pl_module), self._restored
        if self.sparsifier:
            self.sparsifier.detach()
            if not state and self.sparsifier.module is part:
                state = self.state_dict()
        self.sparsifier = Sparsifier(
            part,
            self._pruner,
            self._targets,
            example=self._converted_example(trainer, pl_module),
            optimizer_state=self._optimizer_state,
        )
        others = [c for c in trainer.callbacks if isinstance(c, MaskedTraining)]  # type: ignore[attr-defined]
        check_overlap(others)
        self._number = [c for c in others if c._module == self._module].index(self) + 1
        self.restore(state)
        self._restored = {}
        mask_averages(trainer, pl_module, self.sparsifier.masks, self._module)
        self._attach(trainer)

    def restore(self, state: dict[str, Any]) -> None:
        """Restores what `state_dict` returned, once the weights are found; an empty one is none."""
        if state:
            self._fitted_sparsifier.load_state_dict(state)

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Attaches optimizers that have been made since."""
        self._attach(trainer)

    def hold(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        masks: Masks,
        optimizer_state: str | None = None,
    ) -> None:
        """Prunes weights, their averages and optimizer state by masks (`Sparsifier.hold_`)."""
        self.earlier_metrics = dict(trainer.callback_metrics)
        self._fitted_sparsifier.hold_(masks, optimizer_state=optimizer_state)
        mask_averages(trainer, pl_module, masks, self._module)

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Zeroes the gradients of pruned weights before they are clipped.

        Fused optimizers unscale gradients in their step, which does this by itself, and Lightning
        clips none of theirs.
        """
        is_scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        if not (is_scaled and getattr(optimizer, "_step_supports_amp_scaling", False)):
            self._fitted_sparsifier.mask_gradients_(optimizer)

    def on_validation_batch_start(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Checks the zeros of the validated weights, which other callbacks may have swapped in."""
        if trainer.state.fn == "fit" and batch_idx == 0:
            self._check_zeros(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks that pruned weights are zero, and logs the sparsity."""
        self._check_zeros(trainer)
        pl_module.log(self.log_name, self.sparsity, sync_dist=True)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Checks the zeros of the final weights, which may be averages by now."""
        self._check_zeros(trainer)

    def _attach(self, trainer: Trainer) -> None:
        for optimizer in trainer.optimizers:
            self._fitted_sparsifier.attach(optimizer)

    def _converted_example(self, trainer: Trainer, pl_module: LightningModule) -> Example | None:
        if self._example is None:
            return None
        example = trainer.precision_plugin.convert_input(self._example)
        moved: Example = move_data_to_device(example, pl_module.device)
        return moved

    def _part(self, pl_module: LightningModule) -> nn.Module:
        try:
            return pl_module.get_submodule(self._module)
        except AttributeError:
            names = ", ".join(name for name, _ in pl_module.named_children())
            raise InputError(f"module={self._module}: allowed are {names}") from None

    def _check_zeros(self, trainer: Trainer) -> None:
        with located(trainer):
            self._fitted_sparsifier.check()


@contextmanager
def located(trainer: Trainer) -> Iterator[None]:
    """Says in which epoch pruning failed."""
    try:
        yield
    except PruningError as error:
        raise PruningError(f"epoch {trainer.current_epoch}: {error}") from error
