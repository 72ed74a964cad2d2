"""Scores of every weight, by which a pruner ranks them: the lowest are pruned first."""

from lightprune.pruning.criteria.base import Criterion, check_criterion
from lightprune.pruning.criteria.context import Probe, ScoringContext
from lightprune.pruning.criteria.inverted import Inverted
from lightprune.pruning.criteria.lamp import Lamp
from lightprune.pruning.criteria.magnitude import Magnitude
from lightprune.pruning.criteria.magnitude_per_mac import MagnitudePerMac
from lightprune.pruning.criteria.movement import Movement
from lightprune.pruning.criteria.random import Random
from lightprune.pruning.criteria.synflow import Synflow
from lightprune.pruning.criteria.taylor import Snip, Taylor

__all__ = [
    "Criterion",
    "Inverted",
    "Lamp",
    "Magnitude",
    "MagnitudePerMac",
    "Movement",
    "Probe",
    "Random",
    "ScoringContext",
    "Snip",
    "Synflow",
    "Taylor",
    "check_criterion",
]
