"""A schedule that prunes until the accuracy no longer recovers."""

import math
from dataclasses import dataclass, replace

from lightprune.errors import InputError, check_number
from lightprune.pruning.plan import Plan
from lightprune.pruning.schedules.shapes import Schedule


@dataclass(frozen=True)
class Until(Schedule):
    """Equal steps with equal recovery, as long as the recovered accuracy stays within a drop.

    The plan has every event there may be. A training ends before the first event that follows an
    accuracy below what is allowed, with the last state that was not.

    Attributes:
        step: The share of the kept weights that each event prunes, in (0, 1).
        drop: How far the validation accuracy may be below that before the first event, in
            percentage points, in [0, 100].
        recovery: Epochs from one event to the next.
    """

    step: float = 0.3
    drop: float = 0.5
    recovery: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number("schedule.step", self.step, 0, 1, open_low=True, open_high=True)
        check_number("schedule.drop", self.drop, 0, 100)
        check_number("schedule.recovery", self.recovery, 1, whole=True)
        for name in ("amount", "every_n_steps"):
            if (value := getattr(self, name)) is not None:
                raise InputError(
                    f"schedule.{name}={value}: until has schedule.step and schedule.recovery; "
                    "allowed is null"
                )

    def plan(self, epochs: int, steps_per_epoch: int = 0, steps: int | None = None) -> Plan:
        """The longest course that there may be; args and errors as of `Schedule.plan`."""
        return replace(super().plan(epochs, steps_per_epoch, steps), drop=self.drop)

    def event_epochs(self, epochs: int) -> list[int]:
        """Every `recovery` epochs that leave as many, until the sparsity is reached."""
        self._check_fits(epochs, "recovery")
        assert self.sparsity is not None
        count = 1
        while self._after(count) < self.sparsity and count < epochs // self.recovery:
            count += 1
        return [self.recovery * event for event in range(count)]

    def sparsities(self, count: int) -> list[float]:
        """The sparsity after each of so many events."""
        assert self.sparsity is not None
        return [min(self._after(event), self.sparsity) for event in range(1, count + 1)]

    def sparsity_at(self, progress: float, final: float) -> float:
        """1-(1-g)^k with the g that reaches `final` in the last step."""
        return float(1 - (1 - final) ** progress)

    def _after(self, events: int) -> float:
        """The sparsity after so many events, the asked one where it is that but for rounding."""
        after = float(1 - (1 - self.step) ** events)
        assert self.sparsity is not None
        return self.sparsity if math.isclose(after, self.sparsity, abs_tol=1e-9) else after
