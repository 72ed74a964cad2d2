"""Schedules: when to prune how much."""

from lightprune.pruning.schedules.shapes import (
    Constant,
    Cosine,
    Cubic,
    Geometric,
    Linear,
    MultiStep,
    OneShot,
    Schedule,
    is_cut_to_one_event,
)
from lightprune.pruning.schedules.until import Until

__all__ = [
    "Constant",
    "Cosine",
    "Cubic",
    "Geometric",
    "Linear",
    "MultiStep",
    "OneShot",
    "Schedule",
    "Until",
    "is_cut_to_one_event",
]
