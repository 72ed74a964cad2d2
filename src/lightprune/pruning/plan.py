"""The plan of a run: every prune event, and the learning-rate cycles between them."""

from dataclasses import dataclass
from itertools import pairwise

from lightprune.errors import InputError


class BudgetError(InputError):
    """The events of a schedule do not fit the epochs of a training.

    `message` has "{epochs}" where the budget stands, which is named by an argument or a setting.
    """

    def __init__(self, message: str, epochs: int, name: str = "epochs") -> None:
        super().__init__(message.format(epochs=f"{name}={epochs}"))
        self._message, self._epochs = message, epochs

    def with_name(self, name: str) -> "BudgetError":
        """The same error, in which the epochs have another name."""
        return BudgetError(self._message, self._epochs, name)


@dataclass(frozen=True)
class PruneEvent:
    """Prune to `sparsity` before the first step of an epoch.

    Attributes:
        epoch: From 0.
        sparsity: The share of zeros among the prunable weights afterwards.
        step: Prune before this optimizer step instead, which is one of that epoch.
    """

    epoch: int
    sparsity: float
    step: int | None = None

    @property
    def position(self) -> int:
        """The step, or the epoch of an event between epochs."""
        return self.epoch if self.step is None else self.step


@dataclass(frozen=True)
class Plan:
    """Every prune event of a run, in order.

    Attributes:
        events: All at epochs, or all at steps.
        epochs: The budget.
        steps: The budget in optimizer steps, of a plan whose events are at steps.
        drop: The events go on while the accuracy that is recovered after each of them is at most
            so many percentage points below that before the first; None for all events.
    """

    events: tuple[PruneEvent, ...]
    epochs: int
    steps: int | None = None
    drop: float | None = None

    def __post_init__(self) -> None:
        unit = self.unit
        for event in self.events:
            if (event.step is None) != (self.steps is None):
                raise InputError(f"schedule: {event}: allowed are events at {unit}s in this plan")
            if not 0 <= event.position < self.length:
                raise BudgetError(
                    f"schedule: an event at {unit} {event.position} does not fit {{epochs}}; "
                    f"allowed are {unit}s below the budget"
                    f"{'' if self.steps is None else f' of {self.steps} steps'}",
                    self.epochs,
                )
        for before, after in pairwise(self.events):
            if after.position <= before.position or after.sparsity < before.sparsity:
                raise InputError(f"schedule: {after} after {before}: allowed is a rising order")

    @property
    def unit(self) -> str:
        """What the positions of events count: `epoch` or `step`."""
        return "epoch" if self.steps is None else "step"

    @property
    def length(self) -> int:
        """The budget in the unit of the events' positions: epochs, or steps."""
        return self.epochs if self.steps is None else self.steps

    @property
    def final(self) -> float:
        """The sparsity after the last event; 0 without events."""
        return self.events[-1].sparsity if self.events else 0.0

    def progress_at(self, event: PruneEvent) -> float:
        """How many of the events come before this one, as a share of all, in [0, 1)."""
        return self.events.index(event) / len(self.events)

    def tolerates(self, before: float, recovered: float) -> bool:
        """Whether events go on after an accuracy has recovered, both 0..1."""
        # Rounded, since 0.9 - 0.895 is a hair above 0.005.
        return self.drop is None or round(100 * (before - recovered), 9) <= self.drop

    def event_at(self, position: int) -> PruneEvent | None:
        """The event before the first step of an epoch, or before a step, if there is one."""
        return next((event for event in self.events if event.position == position), None)

    def final_at(self, epoch: int) -> bool:
        """Whether no event comes after the end of `epoch`: it ends at the final sparsity."""
        return not self.events or epoch >= self.events[-1].epoch

    def cycle_at(self, position: int) -> range:
        """The epochs, or steps, between two prune events that one lies in: one LR cycle."""
        bounds = sorted({0, self.length, *(event.position for event in self.events)})
        return next(range(a, b) for a, b in pairwise(bounds) if a <= position < b)
