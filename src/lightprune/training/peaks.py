"""The learning rate of a phase that follows another one: its course, its cycles' peaks."""

from collections.abc import Sequence

from lightprune.pruning.event_record import EventRecord
from lightprune.training.lr_schedule import REWIND, LRCycles, LRShape, RewoundLR, allr_peak
from lightprune.training.recipe import Phase


def lr_shape(phase: Phase, dense: Phase) -> LRShape:
    """The course over a cycle of `phase`; `rewind` takes the dense training's."""
    rate = phase.learning_rate
    return RewoundLR(dense.learning_rate, dense.epochs) if rate.shape == REWIND else rate


def peak_lr(
    epoch: int, phase: Phase, cycles: LRCycles, records: Sequence[EventRecord], dense: Phase
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
    return allr_peak(highest, record.distance, record.sparsity, length, max(dense.epochs, 1))
