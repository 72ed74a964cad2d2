"""When to prune how much: schedules make a Plan, the prune events and LR cycles of a run."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from itertools import pairwise

from lightprune.errors import InputError, check_number


@dataclass(frozen=True)
class PruneEvent:
    """Prune to `sparsity` before the first step of fine-tuning epoch `epoch`."""

    epoch: int
    sparsity: float


@dataclass(frozen=True)
class Plan:
    """Every prune event of a run, in order, within a budget of `epochs`."""

    events: tuple[PruneEvent, ...]
    epochs: int

    def __post_init__(self) -> None:
        for event in self.events:
            if not 0 <= event.epoch < self.epochs:
                raise InputError(
                    f"schedule: an event at epoch {event.epoch} does not fit "
                    f"recipe.finetune.epochs={self.epochs}; allowed are epochs below the budget"
                )
        for before, after in pairwise(self.events):
            if after.epoch <= before.epoch or after.sparsity < before.sparsity:
                raise InputError(f"schedule: {after} after {before}: allowed is a rising order")

    @property
    def final(self) -> float:
        """The sparsity after the last event; 0 without events."""
        return self.events[-1].sparsity if self.events else 0.0

    def progress_at(self, event: PruneEvent) -> float:
        """How many of the events come before this one, as a share of all, in [0, 1)."""
        return self.events.index(event) / len(self.events)

    def event_at(self, epoch: int) -> PruneEvent | None:
        """The event before the first step of `epoch`, if there is one."""
        return next((event for event in self.events if event.epoch == epoch), None)

    def final_at(self, epoch: int) -> bool:
        """Whether no event comes after the start of `epoch`: its weights are at final sparsity."""
        return not self.events or epoch >= self.events[-1].epoch

    def cycle_at(self, epoch: int) -> range:
        """The epochs between two prune events that `epoch` lies in: one LR cycle."""
        bounds = sorted({0, self.epochs, *(event.epoch for event in self.events)})
        return next(range(a, b) for a, b in pairwise(bounds) if a <= epoch < b)


@dataclass(frozen=True)
class Schedule(ABC):
    """The shape of a schedule; the budget of epochs comes from the recipe.

        schedule = lightprune.MultiStep(0.9, steps=3)
        plan = schedule.plan(epochs=9)
        print([(event.epoch, event.sparsity) for event in plan.events])

    Attributes:
        sparsity: The absolute share of zeros after the last event, in [0, 1).
        amount: Instead of it, the share of the *remaining* weights that each event prunes, in
            (0, 1): k events reach 1-(1-amount)^k.
        start: The first epoch of the events; the shape is laid out over the epochs from there.
    """

    sparsity: float | None = None
    amount: float | None = None
    start: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        check_number("schedule.start", self.start, 0, whole=True)
        if (self.sparsity is None) == (self.amount is None):
            raise InputError(
                f"schedule.sparsity={self.sparsity}, schedule.amount={self.amount}: allowed is "
                "exactly one of them (set the other to null)"
            )
        if self.sparsity is not None:
            check_number("schedule.sparsity", self.sparsity, 0, 1, open_high=True)
        if self.amount is not None:
            check_number("schedule.amount", self.amount, 0, 1, open_low=True, open_high=True)

    def plan(self, epochs: int) -> Plan:
        """Lays the events out over a budget of `epochs` epochs.

        Raises:
            InputError: The events do not fit the budget.
        """
        if self.start >= epochs:
            raise InputError(
                f"schedule.start={self.start}: allowed are epochs below "
                f"recipe.finetune.epochs={epochs}"
            )
        event_epochs = [self.start + epoch for epoch in self.event_epochs(epochs - self.start)]
        final = self.sparsity
        if final is None:
            assert self.amount is not None
            final = 1 - (1 - self.amount) ** len(event_epochs)
            check_number("schedule.amount: its sparsity", final, 0, 1, open_high=True)
        count = len(event_epochs)
        sparsities = [min(self.sparsity_at(i / count, final), final) for i in range(1, count)]
        return Plan(tuple(map(PruneEvent, event_epochs, [*sparsities, final])), epochs)

    @abstractmethod
    def event_epochs(self, epochs: int) -> list[int]:
        """The epochs of the events in a budget, rising, the first of them 0."""

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


def _geometric(progress: float, final: float) -> float:
    return float(1 - (1 - final) ** progress)


@dataclass(frozen=True)
class MultiStep(Schedule):
    """`steps` events with equal gaps, each pruning the same share of the kept weights.

    Attributes:
        steps: How many events.
    """

    steps: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("schedule.steps", self.steps, 1, whole=True)

    def event_epochs(self, epochs: int) -> list[int]:
        """Equal gaps, rounded down to whole epochs."""
        if self.steps > epochs:
            less = f" less schedule.start={self.start}" if self.start else ""
            raise InputError(
                f"schedule.steps={self.steps}: allowed are at most "
                f"recipe.finetune.epochs={epochs + self.start}{less}"
            )
        return [step * epochs // self.steps for step in range(self.steps)]

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
        return list(range(max(1, round(self.span * epochs))))


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
