"""When a callback prunes: a schedule by name, laid out over the budget of a trainer."""

import math

from lightning import Trainer

from lightprune.errors import InputError, check_choice
from lightprune.pruning import (
    Cosine,
    Cubic,
    Geometric,
    Linear,
    MultiStep,
    OneShot,
    Plan,
    Schedule,
)

SCHEDULES: dict[str, type[Schedule]] = {
    "one_shot": OneShot,
    "multi_step": MultiStep,
    "linear": Linear,
    "cubic": Cubic,
    "geometric": Geometric,
    "cosine": Cosine,
}


def schedule_of(schedule: Schedule | Plan | str, sparsity: float | None) -> Schedule | Plan:
    """The schedule that a callback's arguments stand for.

    Raises:
        InputError: A name without a sparsity, or a schedule with one of its own and another.
    """
    if isinstance(schedule, str):
        check_choice("schedule", schedule, SCHEDULES)
        if sparsity is None:
            raise InputError(f"schedule={schedule}: allowed is with sparsity=, as sparsity=0.9")
        return SCHEDULES[schedule](sparsity)
    if not isinstance(schedule, Schedule | Plan):
        names = ", ".join(SCHEDULES)
        raise InputError(f"schedule={schedule}: allowed are a Schedule, a Plan, {names}")
    if sparsity is not None:
        raise InputError(f"sparsity={sparsity}: allowed is in the schedule, {schedule} has one")
    return schedule


def needs_batches(schedule: Schedule | Plan, trainer: Trainer) -> bool:
    """Whether the plan depends on the number of training batches.

    To ask for it before the training starts would keep Lightning from restoring the position of a
    loader that has one.
    """
    return isinstance(schedule, Schedule) and trainer.max_steps != -1


def plan_of(schedule: Schedule | Plan, trainer: Trainer) -> Plan:
    """The prune events within the epochs that a trainer trains.

    Raises:
        InputError: It trains without end, or the events do not fit.
    """
    return schedule if isinstance(schedule, Plan) else schedule.plan(_epochs(trainer))


def position(trainer: Trainer) -> int:
    """Where training is, in the unit of `PruneEvent.epoch`."""
    return trainer.current_epoch


def _epochs(trainer: Trainer) -> int:
    """Epochs until the trainer's `max_epochs` or `max_steps`, whichever comes first."""
    epochs = trainer.max_epochs or -1
    if trainer.max_steps == -1:
        if epochs == -1:
            raise InputError(
                "max_epochs=-1: the schedule is laid out over the epochs of the Trainer; allowed "
                "are max_epochs or max_steps above 0"
            )
        return epochs
    if math.isinf(trainer.num_training_batches):
        return 1
    steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    needed = max(1, math.ceil(trainer.max_steps / steps))
    return needed if epochs == -1 else min(needed, epochs)
