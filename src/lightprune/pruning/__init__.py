"""The pruning core, in pure PyTorch: what to prune, how much, when, and by which scores."""

from lightprune.pruning.criteria import (
    Criterion,
    Inverted,
    Lamp,
    Magnitude,
    MagnitudePerMac,
    Movement,
    Random,
    Snip,
    Synflow,
    Taylor,
)
from lightprune.pruning.masks import Masks
from lightprune.pruning.plan import Plan, PruneEvent
from lightprune.pruning.pruner import Pruner
from lightprune.pruning.regrowth import Regrowth
from lightprune.pruning.schedules import (
    Constant,
    Cosine,
    Cubic,
    Geometric,
    Linear,
    MultiStep,
    OneShot,
    Schedule,
    Until,
)
from lightprune.pruning.sparsifier import Sparsifier, prune
from lightprune.pruning.targets import Targets

__all__ = [
    "Constant",
    "Cosine",
    "Criterion",
    "Cubic",
    "Geometric",
    "Inverted",
    "Lamp",
    "Linear",
    "Magnitude",
    "MagnitudePerMac",
    "Masks",
    "Movement",
    "MultiStep",
    "OneShot",
    "Plan",
    "PruneEvent",
    "Pruner",
    "Random",
    "Regrowth",
    "Schedule",
    "Snip",
    "Sparsifier",
    "Synflow",
    "Targets",
    "Taylor",
    "Until",
    "prune",
]
