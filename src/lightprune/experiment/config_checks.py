"""Checks across the groups of a config: settings that cannot go together."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

from torch.optim import SGD

from lightprune.data.sources import Source
from lightprune.errors import InputError, first_of
from lightprune.experiment.pretrained import WeightsFile
from lightprune.pruning.plan import BudgetError, Plan
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.schedules import Constant, Schedule
from lightprune.training.lr_schedule import AUTO, REWIND, LRCycles
from lightprune.training.recipe import FineTuning, Recipe
from lightprune.training.trainer import TrainerConfig


def check_processes(recipe: Recipe, trainer: TrainerConfig) -> None:
    """Raises InputError unless both phases fit the processes, the precision and the clipping."""
    for name, phase in (("dense", recipe.dense), ("finetune", recipe.finetune)):
        if phase.batch_size % trainer.processes:
            raise InputError(
                f"recipe.{name}.batch_size={phase.batch_size}: allowed is a multiple of the "
                f"{trainer.processes} processes, which share each batch"
            )
        _check_fused(name, phase.optimizer, trainer)


def _check_fused(phase: str, optimizer: Any, trainer: TrainerConfig) -> None:
    if not isinstance(optimizer, partial) or not optimizer.keywords.get("fused"):
        return
    key = f"recipe.{phase}.optimizer.fused=true: "
    if trainer.precision == "16-mixed" and optimizer.func is SGD:
        raise InputError(
            f"{key}under trainer.precision=16-mixed fused SGD updates its momentum even in "
            "skipped steps; allowed are fused=false, or trainer.precision=bf16-mixed or 32-true"
        )
    if trainer.precision != "32-true" and trainer.gradient_clip_val is not None:
        raise InputError(
            f"{key}under trainer.precision={trainer.precision} Lightning clips no gradients of "
            "fused optimizers; allowed are fused=false, or no trainer.gradient_clip_val"
        )


def finetuning_plan(schedule: Schedule, recipe: Recipe, steps_per_epoch: int) -> Plan:
    """The plan of a schedule in fine-tuning.

    Raises:
        BudgetError: The events do not fit its epochs, which the message names by their setting.
    """
    try:
        return schedule.plan(recipe.finetune.epochs, steps_per_epoch)
    except BudgetError as error:
        raise error.with_name("recipe.finetune.epochs") from error


def check_rewinding(
    recipe: Recipe, pruner: Pruner | None, plan: Plan, epoch: int, given: WeightsFile | None
) -> None:
    """Raises InputError unless the dense training has the epochs that the run rewinds to.

    `epoch` is `dense.rewind_epoch`; no early weights are `given`.
    """
    dense, finetune = recipe.dense, recipe.finetune
    if pruner is not None and pruner.weights == "rewind":
        if given is not None:
            raise InputError(
                f"{given.setting}: does not hold the early weights that pruner.weights=rewind "
                "takes; allowed is a dense training from the start, without given weights"
            )
        if epoch > dense.epochs:
            raise InputError(
                f"dense.rewind_epoch={epoch}: allowed are at most recipe.dense.epochs="
                f"{dense.epochs}"
            )
    if finetune.learning_rate.shape == REWIND:
        cycles = LRCycles(finetune.learning_rate, plan, finetune.restart)
        starts = [0, *(event.position for event in plan.events)]
        longest = max(cycles.epochs_of(cycles.cycle_at(start)) for start in starts)
        if longest > dense.epochs:
            raise InputError(
                f"recipe.finetune.learning_rate.shape=rewind: a cycle of {longest:g} epochs is "
                f"longer than the dense training it repeats; allowed is recipe.dense.epochs="
                f"{math.ceil(longest)} or more, or shorter cycles"
            )


def check_tolerance(
    pruner: Pruner | None, finetune: FineTuning, plan: Plan, source: Source
) -> None:
    """Raises InputError if the last event, or the test set, would count before it is known."""
    if plan.drop is None or pruner is None:
        return
    if isinstance(source.validation, str):
        raise InputError(
            f"data.validation={source.validation}: schedule=until ends by the validation accuracy; "
            "allowed are validation images of their own"
        )
    if finetune.restart == "never":
        raise InputError(
            "recipe.finetune.restart=never: one cycle for all events has a high learning rate "
            "where schedule=until judges by the accuracy; allowed is event"
        )
    if finetune.ema_decay:
        raise InputError(
            f"recipe.finetune.ema_decay={finetune.ema_decay:g}: averages from the last event on, "
            "and with schedule=until each may be the last; allowed is 0, or another schedule"
        )
    at_the_last = {"weights": pruner.weights == "reinitialise", "pattern": bool(pruner.pattern)}
    for setting in (name for name, is_set in at_the_last.items() if is_set):
        raise InputError(
            f"pruner.{setting}={getattr(pruner, setting)}: acts at the last event, and with "
            "schedule=until each may be the last; allowed is another schedule"
        )


def check_auto_peak(finetune: FineTuning, pruner: Pruner | None, plan: Plan) -> None:
    """Raises InputError if a peak is to be scaled by several events, or by what regrowth does."""
    if finetune.learning_rate.peak != AUTO:
        return
    if pruner is not None and pruner.regrowth is not None:
        raise InputError(
            "recipe.finetune.learning_rate.peak=auto: scales a cycle by the share of the weights "
            "that an event prunes, and pruner.regrowth gives weights back; allowed is a number"
        )
    if finetune.restart == "never" and len(plan.events) > 1:
        raise InputError(
            "recipe.finetune.learning_rate.peak=auto: scales a cycle by the event it begins with, "
            "and recipe.finetune.restart=never has one cycle for several; allowed are a number, or "
            "restart=event"
        )


def check_search(source: Source, sweeper: str) -> None:
    """Raises InputError if a sweeper, by its class, looks for an accuracy that no run measures."""
    if source.validation == "none" and not sweeper.endswith(".BasicSweeper"):
        raise InputError(
            "data.validation=none: hydra/sweeper searches for the highest validation accuracy; "
            "allowed are validation images, or a sweep without a search"
        )


def check_distillation(recipe: Recipe, given: WeightsFile | None) -> None:
    """Raises InputError if fine-tuning is to learn from a network that nothing has trained."""
    weight = recipe.finetune.distillation.weight
    if weight and recipe.dense.epochs == 0 and given is None:
        raise InputError(
            f"recipe.finetune.distillation.weight={weight:g}: the teacher is the dense network, "
            "and recipe.dense.epochs=0 trains none; allowed are 0, or dense epochs, or "
            "dense.checkpoint"
        )


def check_fresh_teacher(recipe: Recipe, fresh: Sequence[str]) -> None:
    """Raises InputError if fine-tuning is to learn from given weights of which some are `fresh`."""
    weight = recipe.finetune.distillation.weight
    if weight and recipe.dense.epochs == 0 and fresh:
        raise InputError(
            f"recipe.finetune.distillation.weight={weight:g}: the teacher is the dense network, "
            f"and recipe.dense.epochs=0 leaves {first_of(fresh, 2)} of it as drawn; allowed are 0, "
            "or dense epochs, or given weights without dense.fresh of these"
        )


def check_freezing(finetune: FineTuning, pruner: Pruner | None) -> None:
    """Raises InputError if events would reset the weights of frozen layers too."""
    if finetune.freeze and pruner is not None and pruner.weights in ("rewind", "reinitialise"):
        raise InputError(
            f"recipe.finetune.freeze={list(finetune.freeze)}: pruner.weights={pruner.weights} "
            "resets every layer; allowed is one of them"
        )


def check_regrowth_events(pruner: Pruner | None, schedule: Schedule | None, plan: Plan) -> None:
    """Raises InputError if regrowth has one event, or schedule=constant no regrowth."""
    if pruner is not None and pruner.regrowth is not None and len(plan.events) < 2:
        raise InputError(
            "pruner.regrowth: exchanges weights at every prune event but the first, and this "
            "schedule has one; allowed is a schedule of several (cubic, constant, ...)"
        )
    if pruner is not None and pruner.regrowth is None and isinstance(schedule, Constant):
        raise InputError(
            "schedule=constant: after its first event it prunes nothing and only regrowth "
            "exchanges weights; allowed are a pruner/regrowth, or another schedule (one_shot)"
        )


def check_accumulation(pruner: Pruner | None, plan: Plan) -> None:
    """Raises InputError unless a criterion that accumulates has steps to accumulate over."""
    if pruner is None or "accumulated" not in pruner.criterion.needs:
        return
    name = f"pruner.criterion={type(pruner.criterion).__name__}"
    if plan.events and plan.events[0].position == 0:
        unit = "epoch" if plan.steps is None else "step"
        raise InputError(
            f"{name}: accumulates scores over the steps of fine-tuning, and an event at {unit} 0 "
            "has none before it; allowed is schedule.start=1 or more"
        )
