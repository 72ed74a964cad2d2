"""The checks of a config that cross its groups: what cannot go together, before any training."""

from functools import partial
from typing import Any

from torch.optim import SGD

from lightprune.errors import InputError
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.schedules import Plan
from lightprune.training.lr_schedule import REWIND, LRCycles
from lightprune.training.recipe import Recipe
from lightprune.training.trainer import TrainerConfig


def check_processes(recipe: Recipe, hardware: TrainerConfig) -> None:
    """Raises InputError unless the machine can train both phases as they ask."""
    for name, phase in (("dense", recipe.dense), ("finetune", recipe.finetune)):
        if phase.batch_size % hardware.processes:
            raise InputError(
                f"recipe.{name}.batch_size={phase.batch_size}: allowed is a multiple of the "
                f"{hardware.processes} processes, which share each batch"
            )
        _check_fused(name, phase.optimizer, hardware)


def _check_fused(phase: str, optimizer: Any, hardware: TrainerConfig) -> None:
    """Refuses a fused optimizer where mixed precision would break it in mid fit, or worse."""
    if not isinstance(optimizer, partial) or not optimizer.keywords.get("fused"):
        return
    where = f"recipe.{phase}.optimizer.fused=true: "
    if hardware.precision == "16-mixed" and optimizer.func is SGD:
        raise InputError(
            f"{where}under trainer.precision=16-mixed fused SGD moves its momentum even in steps "
            "that are skipped; allowed are fused=false, or trainer.precision=bf16-mixed or 32-true"
        )
    if hardware.precision != "32-true" and hardware.gradient_clip_val is not None:
        raise InputError(
            f"{where}under trainer.precision={hardware.precision} Lightning clips no gradients of "
            "fused optimizers; allowed are fused=false, or no trainer.gradient_clip_val"
        )


def check_rewinding(
    recipe: Recipe, pruner: Pruner | None, plan: Plan, epoch: int, checkpoint: str | None
) -> None:
    """Raises InputError unless the dense training has what weights and learning rates rewind to.

    Args:
        recipe: Both phases.
        pruner: Whose `weights` may be `rewind`.
        plan: Of the fine-tuning.
        epoch: After how many epochs of the dense training the weights to rewind to are taken.
        checkpoint: One's own dense weights, if there are any.
    """
    dense, finetune = recipe.dense, recipe.finetune
    if pruner is not None and pruner.weights == "rewind":
        if checkpoint is not None:
            raise InputError(
                f"dense.checkpoint={checkpoint}: says nothing of the weights that "
                "pruner.weights=rewind goes back to; allowed is a dense training "
                "(dense.checkpoint=null)"
            )
        if epoch > dense.epochs:
            raise InputError(
                f"dense.rewind_epoch={epoch}: allowed are at most recipe.dense.epochs="
                f"{dense.epochs}"
            )
    if finetune.learning_rate.shape == REWIND:
        cycles = LRCycles(finetune.learning_rate, plan, finetune.restart)
        longest = max(len(cycles.cycle_at(number)) for number in range(plan.epochs))
        if longest > dense.epochs:
            raise InputError(
                f"recipe.finetune.learning_rate.shape=rewind: a cycle of {longest} epochs is "
                f"longer than the dense training it rewinds; allowed is recipe.dense.epochs="
                f"{longest} or more, or shorter cycles"
            )


def check_regrowth(pruner: Pruner | None, plan: Plan) -> None:
    """Raises InputError unless regrowth has an event at which it can exchange weights."""
    if pruner is not None and pruner.regrowth is not None and len(plan.events) < 2:
        raise InputError(
            "pruner.regrowth: exchanges weights at every prune event but the first, and this "
            "schedule has one; allowed is a schedule of several (cubic, constant, ...)"
        )


def check_accumulation(pruner: Pruner | None, plan: Plan, hardware: TrainerConfig) -> None:
    """Raises InputError unless a criterion that accumulates scores has steps to do so."""
    if pruner is None or "accumulated" not in pruner.criterion.needs:
        return
    name = f"pruner.criterion={type(pruner.criterion).__name__}"
    if plan.events and plan.events[0].epoch == 0:
        raise InputError(
            f"{name}: accumulates scores at every step of fine-tuning, and there is none before an "
            "event at epoch 0; allowed is schedule.start=1 or more"
        )
    if hardware.precision == "16-mixed":
        raise InputError(
            f"{name}: under trainer.precision=16-mixed the gradients of steps that are skipped "
            "would spoil its scores; allowed are trainer.precision=bf16-mixed and 32-true"
        )
