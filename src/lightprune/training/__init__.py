"""Training with Lightning: the classifier, a phase, its recipe and learning rate."""

from lightprune.training.lr_schedule import LearningRate
from lightprune.training.recipe import Distillation, FineTuning, Phase, Recipe
from lightprune.training.trainer import TrainerConfig

__all__ = ["Distillation", "FineTuning", "LearningRate", "Phase", "Recipe", "TrainerConfig"]
