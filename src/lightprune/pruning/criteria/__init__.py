"""Saliency of every weight: what a pruner ranks. Higher is kept longer."""

from lightprune.pruning.criteria.base import (
    AnyCriterion,
    CollectingCriterion,
    CostedCriterion,
    Criterion,
    Probe,
    ProbingCriterion,
    check_criterion,
)
from lightprune.pruning.criteria.inverted import Inverted
from lightprune.pruning.criteria.lamp import Lamp
from lightprune.pruning.criteria.magnitude import Magnitude
from lightprune.pruning.criteria.magnitude_per_mac import MagnitudePerMac
from lightprune.pruning.criteria.movement import Movement
from lightprune.pruning.criteria.random import Random
from lightprune.pruning.criteria.scoring import scores
from lightprune.pruning.criteria.synflow import Synflow
from lightprune.pruning.criteria.taylor import Snip, Taylor

__all__ = [
    "AnyCriterion",
    "CollectingCriterion",
    "CostedCriterion",
    "Criterion",
    "Inverted",
    "Lamp",
    "Magnitude",
    "MagnitudePerMac",
    "Movement",
    "Probe",
    "ProbingCriterion",
    "Random",
    "Snip",
    "Synflow",
    "Taylor",
    "check_criterion",
    "scores",
]
