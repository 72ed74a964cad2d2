"""When a callback prunes: a schedule by name, laid out over the budget of a trainer."""

import math

from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_warn

from lightprune.errors import InputError, check_choice
from lightprune.pruning import (
    Cosine,
    Cubic,
    Geometric,
    Linear,
    MultiStep,
    OneShot,
    Plan,
    PruneEvent,
    Schedule,
)
from lightprune.pruning.schedules import Until, is_cut_to_one_event
from lightprune.rendering.number_format import counted

SCHEDULES: dict[str, type[Schedule]] = {
    "one_shot": OneShot,
    "multi_step": MultiStep,
    "linear": Linear,
    "cubic": Cubic,
    "geometric": Geometric,
    "cosine": Cosine,
}


def schedule_of(
    schedule: Schedule | Plan | str, sparsity: float | None, every_n_steps: int | None = None
) -> Schedule | Plan:
    """The schedule that a callback's arguments stand for.

    Raises:
        InputError: A name without a sparsity, or a schedule with one of its own and another.
    """
    if isinstance(schedule, str):
        check_choice("schedule", schedule, SCHEDULES)
        if sparsity is None:
            raise InputError(f"schedule={schedule}: allowed is with sparsity=, as sparsity=0.9")
        return SCHEDULES[schedule](sparsity, every_n_steps=every_n_steps)
    if not isinstance(schedule, Schedule | Plan):
        names = ", ".join(SCHEDULES)
        raise InputError(f"schedule={schedule}: allowed are a Schedule, a Plan, {names}")
    for name, value in (("sparsity", sparsity), ("every_n_steps", every_n_steps)):
        if value is not None:
            raise InputError(f"{name}={value}: allowed is in the schedule, {schedule} has one")
    return schedule


def needs_batches(schedule: Schedule | Plan, trainer: Trainer) -> bool:
    """Whether the plan depends on the number of training batches.

    To ask for it before the training starts would keep Lightning from restoring the position of a
    loader that has one.
    """
    if isinstance(schedule, Plan):
        return False
    return trainer.max_steps != -1 or schedule.every_n_steps is not None


def plan_of(schedule: Schedule | Plan, trainer: Trainer) -> Plan:
    """The prune events within the epochs, or the steps, that a trainer trains.

    A run of `fast_dev_run` batches prunes at once, whatever the schedule.

    Raises:
        InputError: It trains without end, or the events do not fit.
    """
    if isinstance(schedule, Plan):
        return schedule
    if isinstance(schedule, Until):
        raise InputError(
            "schedule=Until: ends a training by its validations, which experiments alone do "
            "(lightprune train schedule=until); allowed are the other schedules"
        )
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        return OneShot(schedule.sparsities(1)[0]).plan(1)
    epochs = _epochs(trainer)
    if schedule.every_n_steps is not None:
        return _plan_of_steps(schedule, trainer, epochs)
    plan = schedule.plan(epochs)
    if is_cut_to_one_event(schedule, plan):
        rank_zero_warn(
            f"{schedule}: has room for one event, which prunes all at once, in "
            f"{counted(epochs, 'epoch')}; every_n_steps=N has events within an epoch"
        )
    return plan


def position(plan: Plan, trainer: Trainer) -> int:
    """Where training is, in the unit of `PruneEvent.position`."""
    return trainer.current_epoch if plan.steps is None else trainer.global_step


def due_events(plan: Plan, trainer: Trainer, done: int) -> list[PruneEvent]:
    """The events that come now, of those after the first `done`."""
    if plan.steps is None:
        return [e for e in plan.events[done:] if e.epoch == trainer.current_epoch]
    # Where several optimizers step for a batch, none may begin at just the step of an event.
    return [e for e in plan.events[done:] if e.position <= trainer.global_step]


def _plan_of_steps(schedule: Schedule, trainer: Trainer, epochs: int) -> Plan:
    steps = trainer.estimated_stepping_batches
    if math.isinf(steps) or steps < 1:
        raise InputError(
            f"every_n_steps={schedule.every_n_steps}: the number of steps is unknown; allowed is "
            "with max_steps, or a loader that has a length"
        )
    in_epoch = _steps_in_epoch(trainer)
    if not trainer.lightning_module.automatic_optimization:
        most = epochs * in_epoch
        steps = most if trainer.max_steps == -1 else min(most, trainer.max_steps)
    return schedule.plan(epochs, int(steps if math.isinf(in_epoch) else in_epoch), int(steps))


def _steps_in_epoch(trainer: Trainer) -> float:
    """Steps of an epoch, as `global_step` counts them; infinite where the batches are.

    What a training step does that optimizes by hand cannot be known.
    """
    batches = trainer.num_training_batches
    if trainer.lightning_module.automatic_optimization:
        return (
            math.ceil(batches / trainer.accumulate_grad_batches) if batches < math.inf else batches
        )
    optimizers = len(trainer.optimizers)
    rank_zero_warn(
        f"manual optimization: the plan takes every batch for {counted(optimizers, 'step')}, one "
        "of each optimizer; a Plan with epochs or steps of its own has its events where it says"
    )
    return batches * optimizers


def _epochs(trainer: Trainer) -> int:
    epochs = trainer.max_epochs or -1
    if trainer.max_steps == -1:
        if epochs == -1:
            raise InputError(
                "max_epochs=-1: the schedule is laid out over the epochs of the Trainer; allowed "
                "are max_epochs or max_steps above 0"
            )
        return epochs
    if math.isinf(steps := _steps_in_epoch(trainer)):
        return 1
    needed = max(1, math.ceil(trainer.max_steps / steps))
    return needed if epochs == -1 else min(needed, epochs)
