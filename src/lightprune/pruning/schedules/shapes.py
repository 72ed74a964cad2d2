"""When to prune how much: schedules lay the prune events of a run out over its budget."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

from lightprune.errors import InputError, check_number
from lightprune.pruning.plan import BudgetError, Plan, PruneEvent


@dataclass(frozen=True)
class Schedule(ABC):
    """The shape of a schedule, laid out over the budget of a training.

        schedule = lightprune.MultiStep(0.9, steps=3)
        plan = schedule.plan(epochs=9)
        print([(event.epoch, event.sparsity) for event in plan.events])

    Attributes:
        sparsity: The absolute share of zeros after the last event, in [0, 1).
        amount: Instead of it, in (0, 1): k events reach 1-(1-amount)^k. MultiStep and Geometric
            then prune this share of the *remaining* weights at every event, the others come to the
            same sparsity by their own shape.
        start: The first epoch of the events; the shape is laid out over the epochs from there.
        every_n_steps: Puts blocks of so many optimizer steps in the place of epochs, so that
            events come within an epoch too; `start` is then a step.
    """

    sparsity: float | None = None
    amount: float | None = None
    start: int = field(default=0, kw_only=True)
    every_n_steps: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        check_number("schedule.start", self.start, 0, whole=True)
        if self.every_n_steps is not None:
            check_number("schedule.every_n_steps", self.every_n_steps, 1, whole=True)
        if (self.sparsity is None) == (self.amount is None):
            raise InputError(
                f"schedule.sparsity={self.sparsity}, schedule.amount={self.amount}: allowed is "
                "exactly one of them (set the other to null)"
            )
        if self.sparsity is not None:
            check_number("schedule.sparsity", self.sparsity, 0, 1, open_high=True)
        if self.amount is not None:
            check_number("schedule.amount", self.amount, 0, 1, open_low=True, open_high=True)

    def plan(self, epochs: int, steps_per_epoch: int = 0, steps: int | None = None) -> Plan:
        """Lays the events out over a budget.

        Args:
            epochs: The budget.
            steps_per_epoch: Of the optimizer; read with `every_n_steps` alone.
            steps: Of the optimizer in sum; None for whole epochs.

        Raises:
            InputError: The events do not fit the budget.
        """
        if self.every_n_steps is None:
            if self.start >= epochs:
                raise BudgetError(
                    f"schedule.start={self.start}: allowed are epochs below {{epochs}}", epochs
                )
            positions = [self.start + epoch for epoch in self.event_epochs(epochs - self.start)]
            events = map(PruneEvent, positions, self.sparsities(len(positions)))
            return Plan(tuple(events), epochs)
        steps = epochs * steps_per_epoch if steps is None else steps
        blocks = (steps - self.start) // self.every_n_steps
        if blocks < 1:
            raise InputError(
                f"schedule.start={self.start}, schedule.every_n_steps={self.every_n_steps}: do not "
                f"fit the {steps} optimizer steps of the training; allowed are fewer steps in sum"
            )
        positions = [self.start + self.every_n_steps * n for n in self.event_epochs(blocks)]
        event_epochs = [step // steps_per_epoch for step in positions]
        events = map(PruneEvent, event_epochs, self.sparsities(len(positions)), positions)
        return Plan(tuple(events), epochs, steps)

    def sparsities(self, count: int) -> list[float]:
        """The sparsity after each of so many events."""
        final = self.sparsity
        if final is None:
            assert self.amount is not None
            final = 1 - (1 - self.amount) ** count
            check_number("schedule.amount: its sparsity", final, 0, 1, open_high=True)
        return [min(self.sparsity_at(i / count, final), final) for i in range(1, count)] + [final]

    def _check_fits(self, epochs: int, setting: str, span: float = 1.0) -> None:
        """Raises BudgetError unless a setting is at most the span of the epochs after the start."""
        if (value := getattr(self, setting)) > (most := _epochs_of(span, epochs)):
            part = (
                "" if most == epochs else f"{most}, the epochs that schedule.span={span:g} has of "
            )
            less = f" less schedule.start={self.start}" if self.start else ""
            message = f"schedule.{setting}={value}: allowed are at most {part}{{epochs}}{less}"
            raise BudgetError(message, epochs + self.start)

    @abstractmethod
    def event_epochs(self, epochs: int) -> list[int]:
        """The epochs of the events in a budget, rising, the first of them 0.

        With `every_n_steps`, blocks of so many steps stand in the place of epochs.
        """

    @abstractmethod
    def sparsity_at(self, progress: float, final: float) -> float:
        """The sparsity at `progress` in (0, 1] through the events, rising up to `final`."""


@dataclass(frozen=True)
class OneShot(Schedule):
    """One event."""

    def event_epochs(self, epochs: int) -> list[int]:
        """Epoch 0."""
        return [0]

    def sparsity_at(self, progress: float, final: float) -> float:
        """The final sparsity."""
        return final


def _epochs_of(span: float, epochs: int) -> int:
    return max(1, round(span * epochs))


def _geometric(progress: float, final: float) -> float:
    return float(1 - (1 - final) ** progress)


@dataclass(frozen=True)
class MultiStep(Schedule):
    """`steps` events with equal gaps, each pruning the same share of the kept weights.

    Attributes:
        steps: How many events.
        span: The part of the budget from the start, in (0, 1], whose epochs the events share out;
            the rest is recovery.
    """

    steps: int = 4
    span: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("schedule.steps", self.steps, 1, whole=True)
        check_number("schedule.span", self.span, 0, 1, open_low=True)

    def event_epochs(self, epochs: int) -> list[int]:
        """Equal gaps, rounded down to whole epochs."""
        shared, every = _epochs_of(self.span, epochs), self.every_n_steps
        if self.steps > shared and every is not None:
            span = f" in schedule.span={self.span:g} of the steps" if self.span < 1 else ""
            raise InputError(
                f"schedule.steps={self.steps}: allowed are at most {shared}, as often as "
                f"schedule.every_n_steps={every} fits{span}"
            )
        self._check_fits(epochs, "steps", self.span)
        return [step * shared // self.steps for step in range(self.steps)]

    def sparsity_at(self, progress: float, final: float) -> float:
        """1-(1-g)^k with the g that reaches `final` in the last step."""
        return _geometric(progress, final)


@dataclass(frozen=True)
class Ramp(Schedule):
    """One event an epoch over the first part of the budget from the start, then recovery.

    Attributes:
        span: That part, in (0, 1]; the last event leaves at least one epoch of recovery.
    """

    span: float = 0.7

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("schedule.span", self.span, 0, 1, open_low=True)

    def event_epochs(self, epochs: int) -> list[int]:
        """Every epoch of the span, at least one."""
        return list(range(_epochs_of(self.span, epochs)))


def is_cut_to_one_event(schedule: Schedule, plan: Plan) -> bool:
    """Whether gradual pruning is none, since the budget has room for one event."""
    return isinstance(schedule, Ramp) and len(plan.events) == 1


@dataclass(frozen=True)
class Linear(Ramp):
    """s(p) = sT p."""

    def sparsity_at(self, progress: float, final: float) -> float:
        """Equal numbers of weights at every event."""
        return final * progress


@dataclass(frozen=True)
class Cubic(Ramp):
    """s(p) = sT (1 - (1-p)^3), gradual pruning.

    Source: Zhu & Gupta 2017, "To prune, or not to prune: exploring the efficacy of pruning for
    model compression", equation 1.
    """

    def sparsity_at(self, progress: float, final: float) -> float:
        """Fast at first, slow towards the end."""
        return float(final * (1 - (1 - progress) ** 3))


@dataclass(frozen=True)
class Geometric(Ramp):
    """1-s(p) = (1-sT)^p: every event prunes the same share of the kept weights.

    Source: Tanaka et al. 2020, "Pruning neural networks without any data by iteratively
    conserving synaptic flow", algorithm 1.
    """

    def sparsity_at(self, progress: float, final: float) -> float:
        """As MultiStep, at every epoch."""
        return _geometric(progress, final)


@dataclass(frozen=True)
class Cosine(Ramp):
    """s(p) = sT (1 - cos(pi p)) / 2: slow at both ends."""

    def sparsity_at(self, progress: float, final: float) -> float:
        """Fastest half way."""
        return final * (1 - math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class Constant(Ramp):
    """s(p) = sT: the first event prunes, the later ones exchange weights (see `Regrowth`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.amount is not None:
            raise InputError(
                f"schedule.amount={self.amount}: constant prunes at its first event alone; "
                "allowed is schedule.sparsity"
            )

    def sparsity_at(self, progress: float, final: float) -> float:
        """The final sparsity."""
        return final
