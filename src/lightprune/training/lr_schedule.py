"""The learning rate of every step, as a pure function of the step and the plan's cycles."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lightprune.errors import InputError, check_choice, check_number
from lightprune.pruning.schedules import Plan


class LRShape(Protocol):
    """The course of the learning rate over one cycle."""

    def at(self, progress: float, epochs: int) -> float:
        """The share of the peak at `progress` in [0, 1] through a cycle of so many epochs."""
        ...


@dataclass(frozen=True)
class LearningRate:
    """The settings of a course: a shape that every cycle goes through as a whole.

    Attributes:
        peak: The highest learning rate, or `auto`: the dense peak, scaled in each cycle by how
            much the prune event before it changed the network (see `allr_peak`).
        shape: `linear` falls to 0 (LLR), `cosine` too (CLR), `multistep` falls to a tenth at
            each milestone, `constant` stays; for fine-tuning only, `rewind` repeats the end of
            the dense training's course at its peak, in place of all other settings (see
            `RewoundLR`).
        warmup: The share of the cycle, in [0, 1), in which it first rises linearly to the peak.
        milestones: For `multistep`: shares of the cycle.
    """

    peak: float | str
    shape: str = "linear"
    warmup: float = 0.1
    milestones: tuple[float, ...] = (0.5, 0.75)

    def __post_init__(self) -> None:
        """Checks every setting."""
        if self.peak != "auto":
            if isinstance(self.peak, str):
                raise InputError(f"learning_rate.peak={self.peak}: allowed are a number or auto")
            check_number("learning_rate.peak", self.peak, 0, open_low=True)
        check_choice("learning_rate.shape", self.shape, (*_SHAPES, REWIND))
        check_number("learning_rate.warmup", self.warmup, 0, 1, open_high=True)
        if not isinstance(self.milestones, list | tuple):
            raise InputError(
                f"learning_rate.milestones={self.milestones}: allowed is a list of shares"
            )
        for milestone in self.milestones:
            check_number("learning_rate.milestones", milestone, 0, 1)
        object.__setattr__(self, "milestones", tuple(self.milestones))

    def at(self, progress: float, epochs: int = 1) -> float:
        """The share of the peak, whatever the length of the cycle."""
        if progress < self.warmup:
            return progress / self.warmup
        return _SHAPES[self.shape](self, (progress - self.warmup) / (1 - self.warmup))


@dataclass(frozen=True)
class RewoundLR:
    """The last epochs of another training's course again, as many as the cycle has.

    Learning-rate rewinding: Renda et al. 2020, "Comparing Rewinding and Fine-tuning in Neural
    Network Pruning", section 2.

    Attributes:
        rate: The other training's settings.
        epochs: Its length; no cycle may be longer.
    """

    rate: LearningRate
    epochs: int

    def at(self, progress: float, epochs: int) -> float:
        """The other training's share of its peak, as long before its end as this cycle's end."""
        return self.rate.at(1 - (1 - progress) * epochs / self.epochs)


REWIND = "rewind"
_SHAPES: dict[str, Callable[[LearningRate, float], float]] = {
    "linear": lambda rate, p: 1 - p,
    "cosine": lambda rate, p: (1 + math.cos(math.pi * p)) / 2,
    "multistep": lambda rate, p: 0.1 ** sum(p >= milestone for milestone in rate.milestones),
    "constant": lambda rate, p: 1.0,
}


@dataclass(frozen=True)
class LRCycles:
    """The learning rate of a whole phase.

    Attributes:
        rate: The course over each cycle.
        plan: The phase's epochs and prune events.
        restart: `event` starts a cycle at every prune event; `never` makes the phase one cycle.
    """

    rate: LRShape
    plan: Plan
    restart: str = "event"

    def at_epoch(self, epoch: int) -> range:
        """The epochs of the cycle that `epoch` lies in."""
        return self.plan.cycle_at(epoch) if self.restart == "event" else range(self.plan.epochs)

    def at(self, step: int, steps_per_epoch: int, peak: float) -> float:
        """The learning rate of an optimizer step.

        Args:
            step: Steps taken before it, over the whole phase.
            steps_per_epoch: Optimizer steps an epoch.
            peak: The peak of this cycle.
        """
        cycle = self.at_epoch(min(step // steps_per_epoch, self.plan.epochs - 1))
        done = step + 0.5 - cycle.start * steps_per_epoch
        progress = min(done / (len(cycle) * steps_per_epoch), 1.0)
        return peak * self.rate.at(progress, len(cycle))


def allr_peak(
    highest: float, distance: float, sparsity: float, epochs: int, dense_epochs: int
) -> float:
    """The peak of a retraining cycle: ALLR of Zimmer et al. 2021, section 3.

    Args:
        highest: The dense training's peak.
        distance: ||W - W_pruned|| / ||W|| over the live prunable weights at the last event.
        sparsity: The share of weights pruned so far, above 0.
        epochs: Length of the cycle.
        dense_epochs: Length of the dense training.
    """
    scaled = highest * distance / math.sqrt(sparsity)
    return min(max(scaled, highest * min(1.0, epochs / dense_epochs)), highest)
