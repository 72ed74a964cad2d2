"""The learning rate of every step: a pure function of the step, the plan and plain numbers."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from lightprune.errors import InputError, check_choice, check_number
from lightprune.pruning.plan import Plan

AUTO = "auto"
REWIND = "rewind"


class LRShape(Protocol):
    """The learning rate over one cycle, as a share of the cycle's peak."""

    def at(self, progress: float, epochs: float) -> float:
        """The share of the peak at `progress` in [0, 1] through a cycle of so many epochs."""
        ...


@dataclass(frozen=True)
class LearningRate:
    """Peak and shape of the learning rate; every cycle goes through the whole shape.

    Attributes:
        peak: The highest learning rate, or `auto`: the dense peak, scaled in each cycle by how
            much the prune event before it changed the network (see `allr_peak`).
        shape: `linear` falls to 0 (LLR), `cosine` too (CLR), `multistep` falls to a tenth at
            each milestone, `constant` stays; for fine-tuning only, `rewind` repeats the end of
            the dense training's schedule at its peak, in place of all other settings (see
            `RewoundLR`).
        warmup: The share of the cycle, in [0, 1), in which it first rises linearly to the peak.
        milestones: For `multistep`: shares of the cycle after the warm-up.
    """

    peak: float | str
    shape: str = "linear"
    warmup: float = 0.1
    milestones: tuple[float, ...] = (0.5, 0.75)

    def __post_init__(self) -> None:
        if self.peak != AUTO:
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

    def at(self, progress: float, epochs: float = 1) -> float:
        """The share of the peak at `progress` in [0, 1], whatever the length of the cycle."""
        if progress < self.warmup:
            return progress / self.warmup
        return _SHAPES[self.shape](self, (progress - self.warmup) / (1 - self.warmup))


@dataclass(frozen=True)
class RewoundLR:
    """Repeats the last epochs of another training's schedule, as many as the cycle has.

    Learning-rate rewinding: Renda et al. 2020, "Comparing Rewinding and Fine-tuning in Neural
    Network Pruning", section 2.

    Attributes:
        settings: The other training's.
        epochs: Its length; no cycle may be longer.
    """

    settings: LearningRate
    epochs: int

    def at(self, progress: float, epochs: float) -> float:
        """The other training's share of its peak, as long before its end as this cycle's end."""
        return self.settings.at(1 - (1 - progress) * epochs / self.epochs)


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
        restart: `event` starts a cycle at every prune event; `never` makes the phase one cycle.
    """

    shape: LRShape
    plan: Plan
    restart: str = "event"

    def cycle_at(self, position: int) -> range:
        """The cycle that an epoch, or in a plan of steps a step, lies in; in the same unit."""
        return self.plan.cycle_at(position) if self.restart == "event" else range(self.plan.length)

    def epochs_of(self, cycle: range) -> float:
        """The length of a cycle in epochs."""
        return len(cycle) * self.plan.epochs / self.plan.length

    def cycle_of_step(self, step: int, steps_per_epoch: int) -> range:
        """The cycle of an optimizer step, as of `cycle_at`."""
        position = step // steps_per_epoch if self.plan.steps is None else step
        return self.cycle_at(min(position, self.plan.length - 1))

    def at(self, step: int, steps_per_epoch: int, peak: float) -> float:
        """The learning rate after `step` optimizer steps of the phase, in a cycle of that peak."""
        cycle = self.cycle_of_step(step, steps_per_epoch)
        steps = steps_per_epoch if self.plan.steps is None else 1
        done = step + 0.5 - cycle.start * steps
        progress = min(done / (len(cycle) * steps), 1.0)
        return peak * self.shape.at(progress, self.epochs_of(cycle))


def lr_shape(settings: LearningRate, dense: LearningRate, dense_epochs: int) -> LRShape:
    """The shape of a phase's cycles: its own, or with `rewind` the end of the dense training's."""
    return RewoundLR(dense, dense_epochs) if settings.shape == REWIND else settings


def peak_lr(
    settings: LearningRate,
    dense: LearningRate,
    *,
    epochs: float,
    dense_epochs: int,
    distance: float = 0.0,
    pruned: float | None = None,
) -> float:
    """The peak learning rate of one cycle of so many epochs.

    `distance` and `pruned` are those of `allr_peak`; None before the first prune event.
    """
    assert not isinstance(dense.peak, str)
    if settings.shape == REWIND:
        return dense.peak
    if not isinstance(settings.peak, str):
        return float(settings.peak)
    if pruned is None:
        return dense.peak
    return allr_peak(dense.peak, distance, pruned, epochs, max(dense_epochs, 1))


def allr_peak(
    dense_peak: float, distance: float, pruned: float, epochs: float, dense_epochs: int
) -> float:
    """The peak of a retraining cycle of so many epochs: ALLR of Zimmer et al. 2021, section 3.

    `distance` is ||W - W_pruned|| / ||W|| over the live prunable weights at the last event, and
    `pruned` the share of those kept until then that it pruned.
    """
    scaled = dense_peak * distance / math.sqrt(pruned) if pruned > 0 else 0.0
    return min(max(scaled, dense_peak * min(1.0, epochs / dense_epochs)), dense_peak)
