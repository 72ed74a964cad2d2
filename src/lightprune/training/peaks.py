"""The learning rate of a phase that follows another one: its course, its cycles' peaks."""

from collections.abc import Sequence

from lightprune.pruning.event_record import EventRecord
from lightprune.training.lr_schedule import REWIND, Course, Cycles, Rewound, adaptive_peak
from lightprune.training.recipe import Phase


def course_of(phase: Phase, dense: Phase) -> Course:
    """The course over a cycle of `phase`; `rewind` takes the dense training's."""
    rate = phase.learning_rate
    return Rewound(dense.learning_rate, dense.epochs) if rate.shape == REWIND else rate


def peak_of(
    epoch: int, phase: Phase, cycles: Cycles, records: Sequence[EventRecord], dense: Phase
) -> float:
    """The peak learning rate of the cycle that starts at `epoch`.

    Args:
        epoch: The cycle's first one.
        phase: Whose learning rate it is.
        cycles: Of the phase.
        records: The prune events so far.
        dense: The phase before it, or `phase` itself.
    """
    peak, highest = phase.learning_rate.peak, dense.learning_rate.peak
    assert not isinstance(highest, str)
    if phase.learning_rate.shape == REWIND:
        return highest
    if not isinstance(peak, str):
        return float(peak)
    before = [record for record in records if record.epoch <= epoch]
    if not before or not before[-1].sparsity:
        return highest
    length = len(cycles.at_epoch(epoch))
    record = before[-1]
    return adaptive_peak(highest, record.distance, record.sparsity, length, max(dense.epochs, 1))
